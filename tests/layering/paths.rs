//! Which modules a source file declares and which paths it names. Not name resolution: only paths
//! that start at `crate`, `super` or `self` are followed, and imports by the names they give.

use crate::text::{Token, group_end, strip, tokens};
use std::collections::BTreeMap;

/// A place in the crate, from its root: `["fib", "node", "Node"]`. The root itself is empty.
pub(crate) type Place = Vec<String>;

/// A path that the source names.
#[derive(Debug, PartialEq)]
pub(crate) struct Named {
    pub(crate) place: Place,
    pub(crate) line: usize,
}

/// What one file says, outside its test modules.
#[derive(Default)]
pub(crate) struct Outline {
    pub(crate) named: Vec<Named>,
    /// The files it declares with `mod name;`, by name, and whether only for tests.
    pub(crate) modules: BTreeMap<String, bool>,
    /// Names that its imports give, and what they stand for.
    pub(crate) imports: BTreeMap<String, Place>,
    /// Ways around the laws, with their lines.
    pub(crate) tricks: Vec<(String, usize)>,
}

/// The outline of the file of module `own`.
pub(crate) fn outline(source: &str, own: &[String]) -> Outline {
    let stripped = strip(source);
    let tokens = tokens(&stripped);
    let mut reader = Reader { tokens: &tokens, out: Outline::default(), importing: false };
    reader.read(0, tokens.len(), own, true);
    reader.out
}

/// Whether the file belongs to the library, and the module that it is.
pub(crate) fn module_of(path: &str) -> Option<Place> {
    let inner = path.strip_prefix("src/")?.strip_suffix(".rs")?;
    if inner.starts_with("bin/") || inner == "main" {
        return None;
    }
    let inner = if inner == "lib" { "" } else { inner.strip_suffix("/mod").unwrap_or(inner) };
    Some(inner.split('/').filter(|segment| !segment.is_empty()).map(str::to_owned).collect())
}

/// Where the test modules of a source are, as ranges of its tokens.
pub(crate) fn test_modules(tokens: &[Token<'_>]) -> Vec<std::ops::Range<usize>> {
    let mut ranges = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        match test_module(tokens, at) {
            Some((_, end)) => {
                ranges.push(at..end);
                at = end;
            }
            None => at += 1,
        }
    }
    ranges
}

struct Reader<'a> {
    tokens: &'a [Token<'a>],
    out: Outline,
    /// Inside a `use`, where the last name of a path is one that it gives.
    importing: bool,
}

impl Reader<'_> {
    /// Reads `from..to`, which stands in module `own`; `outer` says that this is the file itself.
    fn read(&mut self, from: usize, to: usize, own: &[String], outer: bool) {
        let mut at = from;
        while at < to {
            at = match self.text(at) {
                "#" => match test_module(self.tokens, at) {
                    Some((name, end)) => {
                        if let Some(name) = name {
                            self.out.modules.insert(name, true);
                        }
                        end
                    }
                    None => at + 1,
                },
                "mod" if self.is_ident(at + 1) => self.module(at, own, outer),
                "crate" | "super" | "self" if self.starts_path(at) => self.path(at, own.to_vec()),
                "use" => {
                    self.importing = true;
                    let end = self.import(at + 1, own);
                    self.importing = false;
                    end
                }
                _ => {
                    self.trick(at);
                    at + 1
                }
            };
        }
    }

    fn module(&mut self, at: usize, own: &[String], outer: bool) -> usize {
        let name = self.text(at + 1).to_owned();
        if self.text(at + 2) == "{" {
            let end = group_end(self.tokens, at + 2);
            let mut inner = own.to_vec();
            inner.push(name);
            self.read(at + 3, end - 1, &inner, false);
            return end;
        }
        if self.text(at + 2) == ";" && outer {
            self.out.modules.entry(name).or_insert(false);
        }
        at + 2
    }

    /// An import: paths from a keyword as everywhere, others relative to the module itself (a
    /// child) unless they start at another crate; those are noted as names only.
    fn import(&mut self, at: usize, own: &[String]) -> usize {
        match self.text(at) {
            "crate" | "super" | "self" | "{" => self.path(at, own.to_vec()),
            "::" => at + 1,
            _ => {
                let named = self.out.named.len();
                let end = self.path(at, own.to_vec());
                self.out.named.truncate(named);
                end
            }
        }
    }

    /// Whether the keyword at `at` starts a path and is not a receiver or a visibility.
    fn starts_path(&self, at: usize) -> bool {
        self.text(at + 1) == "::"
    }

    /// Reads one path, or a group of paths, that continues `place`; gives the index after it.
    fn path(&mut self, mut at: usize, mut place: Place) -> usize {
        let mut last = self.line(at);
        loop {
            last = if at < self.tokens.len() { self.line(at) } else { last };
            match self.text(at) {
                "crate" => place.clear(),
                "super" => {
                    if place.pop().is_none() {
                        self.out.tricks.push(("`super` above the root".into(), last));
                    }
                }
                "self" => {}
                "*" => {
                    place.push("*".into());
                    self.out.named.push(Named { place, line: last });
                    return at + 1;
                }
                "{" => return self.group(at, &place),
                _ if self.is_ident(at) => {
                    self.trick(at);
                    place.push(self.text(at).to_owned());
                }
                _ => {
                    // `Type::<T>`: what follows belongs to the type.
                    self.out.named.push(Named { place, line: last });
                    return at;
                }
            }
            at += 1;
            if self.text(at) != "::" {
                return self.leaf(at, place, last);
            }
            at += 1;
        }
    }

    fn group(&mut self, open: usize, place: &Place) -> usize {
        let end = group_end(self.tokens, open);
        let mut at = open + 1;
        while at < end - 1 {
            at = match self.text(at) {
                "," => at + 1,
                _ => self.path(at, place.clone()).max(at + 1),
            };
        }
        end
    }

    /// Ends a path that stands for `place`, with the name that an import gives it.
    fn leaf(&mut self, at: usize, place: Place, line: usize) -> usize {
        let renamed = self.importing && self.text(at) == "as";
        if self.importing {
            let given = if renamed { Some(self.text(at + 1)) } else { place.last().map(|n| &**n) };
            if let Some(name) = given.map(str::to_owned) {
                self.out.imports.insert(name, place.clone());
            }
        }
        self.out.named.push(Named { place, line });
        if renamed { at + 2 } else { at }
    }

    /// Notes what would lead around the laws.
    fn trick(&mut self, at: usize) {
        let trick = match (self.text(at), self.text(at + 1)) {
            ("hyperty_router", _) => "the crate by its outer name",
            ("extern", "crate") => "`extern crate`",
            ("include", "!") => "`include!`",
            ("path", "=") if at >= 2 && self.text(at - 2) == "#" => "`#[path]`",
            _ => return,
        };
        self.out.tricks.push((trick.into(), self.line(at)));
    }

    fn text(&self, at: usize) -> &str {
        self.tokens.get(at).map_or("", |token| token.text)
    }

    fn is_ident(&self, at: usize) -> bool {
        self.tokens.get(at).is_some_and(Token::is_ident)
    }

    fn line(&self, at: usize) -> usize {
        self.tokens.get(at).map_or(0, |token| token.line)
    }
}

/// If a module that exists for tests only starts at the attribute at `at`: its name where it is a
/// file of its own, and the index after it. Other items for tests count as code.
fn test_module(tokens: &[Token<'_>], at: usize) -> Option<(Option<String>, usize)> {
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text);
    let mut next = at;
    let mut for_tests = false;
    while text(next) == "#" && text(next + 1) == "[" {
        for_tests |= (text(next + 2), text(next + 4)) == ("cfg", "test") && text(next + 5) == ")";
        let all = (text(next + 2), text(next + 4), text(next + 6)) == ("cfg", "all", "test");
        for_tests |= all;
        next = group_end(tokens, next + 1);
    }
    if text(next) == "pub" {
        next = if text(next + 1) == "(" { group_end(tokens, next + 1) } else { next + 1 };
    }
    if !for_tests || text(next) != "mod" {
        return None;
    }
    match text(next + 2) {
        "{" => Some((None, group_end(tokens, next + 2))),
        _ => Some((Some(text(next + 1).to_owned()), next + 3)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(source: &str, own: &str) -> Vec<String> {
        let own: Place = own.split("::").map(str::to_owned).collect();
        outline(source, &own).named.iter().map(|named| named.place.join("::")).collect()
    }

    #[test]
    fn paths_resolve_to_places() {
        for (source, wanted) in [
            ("use crate::bus::Bus;", "bus::Bus"),
            ("use crate::{bus::{self, Bus as B}, ua};", "bus bus::Bus ua"),
            ("use super::super::bus;", "bus"),
            ("use super::{super::bus, node::Node};", "bus fib::node::Node"),
            ("use self::child::C;", "fib::writer::child::C"),
            ("use {crate::bus, std::fmt};", "bus fib::writer::std::fmt"),
            ("use child::C; use std::fmt;", ""),
            ("use crate as root;", ""),
            ("use super::super as up;", ""),
            ("use super::super::*;", "*"),
            ("fn f(&self) -> crate::bus::Bus { self.x }", "bus::Bus"),
            ("pub(crate) fn f() {} pub(super) fn g() {}", ""),
            ("pub(in crate::fib) fn f() {}", "fib"),
            ("x(crate::bus::Bus::<T>::new)", "bus::Bus"),
            ("<crate::bus::B as crate::ua::U>::f()", "bus::B ua::U"),
            ("mod inner { use super::super::super::ua; }", "ua"),
            ("mod inner { use super::x; } use super::y;", "fib::writer::x fib::y"),
            ("#[cfg(test)] mod tests { use crate::bus; } use crate::ua;", "ua"),
            ("#[cfg(all(test, unix))] pub(crate) mod t { crate::bus!() }", ""),
            ("#[cfg(not(test))] mod m { use crate::bus; }", "bus"),
            ("#[cfg(any(test, unix))] mod m { use crate::bus; }", "bus"),
            ("#[cfg(test)] fn f() { crate::bus::x() }", "bus::x"),
            ("// crate::bus\nlet x = \"crate::ua\";", ""),
            ("$crate::bus::x!()", "bus::x"),
        ] {
            assert_eq!(named(source, "fib::writer").join(" "), wanted, "{source}");
        }
    }

    #[test]
    fn ways_around_are_noted() {
        for source in [
            "use hyperty_router::bus;",
            "fn f() { hyperty_router::bus::x() }",
            "extern crate self as other;",
            "include!(\"x.rs\");",
            "#[path = \"x.rs\"] mod x;",
            "use super::super::super::x;",
        ] {
            assert_eq!(
                outline(source, &["fib".into(), "writer".into()]).tricks.len(),
                1,
                "{source}"
            );
        }
        assert!(outline("let path = 1; extern \"C\" {}", &[]).tricks.is_empty());
    }

    #[test]
    fn files_are_modules() {
        let place = |path| module_of(path).map(|place| place.join("::"));
        assert_eq!(place("src/lib.rs").as_deref(), Some(""));
        assert_eq!(place("src/slab.rs").as_deref(), Some("slab"));
        assert_eq!(place("src/fib/mod.rs").as_deref(), Some("fib"));
        assert_eq!(place("src/fib/node.rs").as_deref(), Some("fib::node"));
        assert_eq!(place("src/bin/hyperty-router/main.rs"), None);
    }

    #[test]
    fn files_that_are_declared_are_listed() {
        let outline = outline("mod a; pub mod b; #[cfg(test)] mod c; mod d { mod e; }", &[]);
        let modules: Vec<_> = outline.modules.iter().map(|(n, t)| (n.as_str(), *t)).collect();
        assert_eq!(modules, [("a", false), ("b", false), ("c", true)]);
    }
}
