//! The laws about modules: layers between them, no cycles inside them, no file outside them.

use crate::{
    File,
    paths::{Outline, Place, module_of, outline},
};
use std::collections::{BTreeMap, BTreeSet};

/// A file of the library with what it says.
struct Unit<'a> {
    path: &'a str,
    place: Place,
    outline: Outline,
}

/// What names a higher layer, the root, or nothing that `layers` knows.
pub(crate) fn upward(files: &[File], layers: &[&str]) -> Vec<String> {
    let rank = |name: &str| layers.iter().position(|layer| *layer == name);
    let mut violations = Vec::new();
    for unit in units(files) {
        for (trick, line) in &unit.outline.tricks {
            violations.push(format!("{}:{line}: {trick} leads around the layers", unit.path));
        }
        let Some(own) = unit.place.first() else {
            let inner = unit.outline.modules.keys().filter(|name| rank(name).is_none());
            violations.extend(inner.map(|name| format!("{}: `{name}` has no layer", unit.path)));
            continue;
        };
        let Some(own_rank) = rank(own) else {
            violations.push(format!("{}: `{own}` has no layer", unit.path));
            continue;
        };
        for named in &unit.outline.named {
            let at = format!("{}:{}", unit.path, named.line);
            match named.place.first() {
                None => violations.push(format!("{at}: names the root of the crate")),
                Some(name) if name == own => {}
                Some(name) => match rank(name) {
                    Some(other) if other < own_rank => {}
                    Some(_) => violations.push(format!("{at}: `{own}` names the higher `{name}`")),
                    None => violations.push(format!("{at}: `{name}` is no module with a layer")),
                },
            }
        }
    }
    violations
}

/// The cycles between files of one module. A file that declares another (`mod.rs`) assembles it:
/// its own uses of what it declares don't count, the uses the other way do.
pub(crate) fn cycles(files: &[File]) -> Vec<String> {
    let units = units(files);
    let by_place: BTreeMap<&Place, &Unit<'_>> = units.iter().map(|u| (&u.place, u)).collect();
    let mut needs: BTreeMap<&Place, BTreeSet<&Place>> = BTreeMap::new();
    for unit in units.iter().filter(|unit| !unit.place.is_empty()) {
        for named in &unit.outline.named {
            let Some(other) = home(&named.place, &by_place) else { continue };
            let same_module = other.first() == unit.place.first();
            if same_module && !other.starts_with(&unit.place) {
                needs.entry(&unit.place).or_default().insert(other);
            }
        }
    }
    let on_cycle = needs.keys().filter(|place| reach(place, &needs).contains(**place));
    on_cycle
        .map(|place| {
            let others = needs[*place].iter().filter(|o| reach(o, &needs).contains(*place));
            let others: Vec<_> = others.map(|other| other.join("::")).collect();
            format!("{}: in a cycle through {}", place.join("::"), others.join(", "))
        })
        .collect()
}

/// The files that no other file declares: they would never be compiled.
pub(crate) fn orphans(files: &[File]) -> Vec<String> {
    let units: Vec<_> = every_unit(files);
    let declared: BTreeSet<Place> = units
        .iter()
        .flat_map(|unit| {
            unit.outline.modules.keys().map(|name| {
                let mut place = unit.place.clone();
                place.push(name.clone());
                place
            })
        })
        .collect();
    let lost = units.iter().filter(|u| !u.place.is_empty() && !declared.contains(&u.place));
    lost.map(|unit| format!("{}: no file declares it", unit.path)).collect()
}

/// The file in which what stands at `place` is written, through the imports of its module.
fn home<'a>(place: &Place, by_place: &BTreeMap<&'a Place, &'a Unit<'a>>) -> Option<&'a Place> {
    const REEXPORTS_MAX: usize = 8;
    let mut place = place.clone();
    for _ in 0..REEXPORTS_MAX {
        let length = (1..=place.len()).rev().find(|n| by_place.contains_key(&place[..*n].to_vec()));
        let (found, unit) = by_place.get_key_value(&place[..length?].to_vec())?;
        let import = place.get(length?).and_then(|name| unit.outline.imports.get(name));
        match import {
            Some(import) if home_is_elsewhere(import, found, by_place) => place = import.clone(),
            _ => return Some(found),
        }
    }
    None
}

/// Whether an import leads to another file of the crate, and not to some other crate.
fn home_is_elsewhere(
    import: &Place,
    found: &Place,
    by_place: &BTreeMap<&Place, &Unit<'_>>,
) -> bool {
    (1..=import.len())
        .rev()
        .find(|n| by_place.contains_key(&import[..*n].to_vec()))
        .is_some_and(|n| import[..n] != found[..])
}

/// Everything that `from` needs, directly or not.
fn reach<'a>(
    from: &Place,
    needs: &BTreeMap<&'a Place, BTreeSet<&'a Place>>,
) -> BTreeSet<&'a Place> {
    let mut seen = BTreeSet::new();
    let mut open: Vec<&Place> = needs.get(from).into_iter().flatten().copied().collect();
    while let Some(place) = open.pop() {
        if seen.insert(place) {
            open.extend(needs.get(place).into_iter().flatten().copied());
        }
    }
    seen
}

/// The library's files without those that exist for tests only.
fn units(files: &[File]) -> Vec<Unit<'_>> {
    let units = every_unit(files);
    let for_tests: Vec<Place> = units
        .iter()
        .flat_map(|unit| {
            let names = unit.outline.modules.iter().filter(|(_, for_tests)| **for_tests);
            names.map(|(name, _)| [&unit.place[..], std::slice::from_ref(name)].concat())
        })
        .collect();
    let shipped = |unit: &Unit<'_>| !for_tests.iter().any(|place| unit.place.starts_with(place));
    units.into_iter().filter(shipped).collect()
}

fn every_unit(files: &[File]) -> Vec<Unit<'_>> {
    let unit = |file| {
        let File { path, text }: &File = file;
        let place = module_of(path)?;
        Some(Unit { path, outline: outline(text, &place), place })
    };
    files.iter().filter_map(unit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::made_up;

    const LAYERS: &[&str] = &["low", "middle", "high"];

    fn upward_in(path: &str, text: &str) -> usize {
        upward(&made_up(&[(path, text)]), LAYERS).len()
    }

    #[test]
    fn a_name_upwards_is_found() {
        for text in [
            "use crate::high::X;",
            "use crate::{low, high};",
            "use crate::{\n    low::{self, L},\n    high::{self},\n};",
            "use super::high;",
            "use super::*;",
            "use crate::*;",
            "use crate as root;",
            "use crate::X;",
            "use crate::other::X;",
            "fn f() { crate::high::f() }",
            "fn f(x: &'static crate::high::X) {}",
            "mod inner { use super::super::high; }",
            "macro_rules! m { () => { $crate::high::f() } }",
            "#[cfg(not(test))] mod m { use crate::high; }",
            "use hyperty_router::high;",
        ] {
            assert_eq!(upward_in("src/middle.rs", text), 1, "{text}");
        }
        assert_eq!(upward_in("src/middle/deep/x.rs", "use super::super::super::high;"), 1);
        assert_eq!(upward_in("src/middle/mod.rs", "use super::high;"), 1);
        assert_eq!(upward_in("src/unknown.rs", ""), 1);
        assert_eq!(upward_in("src/lib.rs", "mod low; mod unknown;"), 1);
    }

    #[test]
    fn a_name_downwards_is_not() {
        for text in [
            "use crate::low::X; use crate::middle::Y; use std::high;",
            "// use crate::high;\n/* crate::high */ const X: &str = \"crate::high\";",
            "#[cfg(test)] mod tests { use crate::high; use super::*; }",
            "pub(crate) fn f(&self) -> Self { self.high }",
            "use super::low; mod inner { use super::super::low; use super::X; }",
        ] {
            assert_eq!(upward_in("src/middle.rs", text), 0, "{text}");
        }
        assert_eq!(upward_in("src/lib.rs", "pub mod low; pub use crate::high::X;"), 0);
        assert_eq!(upward_in("src/bin/x/main.rs", "mod args; use crate::args::X;"), 0);
    }

    #[test]
    fn a_file_for_tests_is_exempt_and_a_like_named_one_is_not() {
        let files = [
            ("src/middle/mod.rs", "#[cfg(test)] mod oracle; mod oracles;"),
            ("src/middle/oracle.rs", "use crate::high::X;"),
            ("src/middle/oracles.rs", "use crate::high::X;"),
        ];
        let found = upward(&made_up(&files), LAYERS);
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("src/middle/oracles.rs:1"), "{found:?}");
    }

    #[test]
    fn a_cycle_is_found_also_behind_a_reexport() {
        let direct = [
            ("src/m/mod.rs", "mod a; mod b;"),
            ("src/m/a.rs", "use super::b::B;"),
            ("src/m/b.rs", "use crate::m::a::A;"),
        ];
        assert_eq!(cycles(&made_up(&direct)).len(), 2);
        let behind = [
            ("src/m/mod.rs", "mod a; mod b; pub use a::A; pub use self::b::B as C;"),
            ("src/m/a.rs", "fn f(x: super::C) {}"),
            ("src/m/b.rs", "use super::A;"),
        ];
        assert_eq!(cycles(&made_up(&behind)).len(), 2);
        let three = [
            ("src/m/mod.rs", "mod a; mod b; mod c;"),
            ("src/m/a.rs", "use super::b;"),
            ("src/m/b.rs", "use super::c;"),
            ("src/m/c.rs", "use super::a;"),
        ];
        assert_eq!(cycles(&made_up(&three)).len(), 3);
    }

    #[test]
    fn a_front_door_and_its_rooms_are_no_cycle() {
        let files = [
            ("src/m/mod.rs", "mod a; mod b; pub use crate::m::a::A; pub struct M;"),
            ("src/m/a.rs", "use super::{M, b::B}; use std::fmt;"),
            ("src/m/b.rs", "use super::M; #[cfg(test)] mod tests { use super::super::a::A; }"),
        ];
        assert_eq!(cycles(&made_up(&files)), [""; 0]);
    }

    #[test]
    fn a_file_that_nobody_declares_is_found() {
        let files = [
            ("src/lib.rs", "mod m;"),
            ("src/m/mod.rs", "mod a; #[cfg(test)] mod t; // mod b;"),
            ("src/m/a.rs", ""),
            ("src/m/b.rs", ""),
            ("src/m/t.rs", ""),
        ];
        assert_eq!(orphans(&made_up(&files)), ["src/m/b.rs: no file declares it"]);
    }
}
