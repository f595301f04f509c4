//! The house rules that no lint holds: nothing unfinished, `unsafe` rare and with its reason, files
//! short, tests that own their clock.

use crate::{
    File,
    paths::test_modules,
    text::{Token, strip, tokens},
};

/// Where code is missing, or a debugging aid was left behind.
pub(crate) fn unfinished(files: &[File]) -> Vec<String> {
    find(files, |tokens, at| {
        let word = tokens[at].text;
        let bang = tokens.get(at + 1).is_some_and(|next| next.text == "!");
        let unfinished = bang && ["todo", "unimplemented", "dbg"].contains(&word);
        unfinished.then(|| format!("`{word}!`"))
    })
}

/// Files outside `allowed` that say `unsafe`.
pub(crate) fn unsafe_elsewhere(files: &[File], allowed: &[&str]) -> Vec<String> {
    let elsewhere = |file: &&File| {
        !allowed.iter().any(|allowed| {
            if allowed.ends_with('/') {
                file.path.starts_with(allowed)
            } else {
                file.path == *allowed
            }
        })
    };
    let is_unsafe = |tokens: &[Token<'_>], at: usize| {
        (tokens[at].text == "unsafe").then(|| "`unsafe` may not stand in this file".to_owned())
    };
    files.iter().filter(elsewhere).flat_map(|file| find_in(file, is_unsafe)).collect()
}

/// Unsafe blocks and impls without a `SAFETY:` comment before them.
pub(crate) fn unsafe_without_reason(files: &[File]) -> Vec<String> {
    let without = |file: &File| {
        let stripped = strip(&file.text);
        let code: Vec<&str> = stripped.lines().collect();
        let text: Vec<&str> = file.text.lines().collect();
        find_in(file, |tokens, at| {
            let next = tokens.get(at + 1).map_or("", |next| next.text);
            let owes = tokens[at].text == "unsafe" && (next == "{" || next == "impl");
            (owes && !has_reason(&text, &code, tokens[at].line - 1))
                .then(|| format!("`unsafe {next}` without a SAFETY comment"))
        })
    };
    files.iter().flat_map(without).collect()
}

/// Files of more lines than `lines_max`.
pub(crate) fn too_long(files: &[File], lines_max: usize) -> Vec<String> {
    let lines = |file: &File| file.text.lines().count();
    let long = files.iter().filter(|file| lines(file) > lines_max);
    long.map(|file| format!("{}: {} lines, {lines_max} allowed", file.path, lines(file))).collect()
}

/// Sleeps in the files of `tests/` and in the test modules of the others.
pub(crate) fn sleeping_tests(files: &[File]) -> Vec<String> {
    let sleeping = |file: &File| {
        let everywhere = file.path.starts_with("tests/");
        find_in(file, |tokens, at| {
            let sleeps = ["sleep", "sleep_ms", "sleep_until"].contains(&tokens[at].text);
            let here =
                || everywhere || test_modules(tokens).iter().any(|range| range.contains(&at));
            (sleeps && here()).then(|| format!("a test that says `{}`", tokens[at].text))
        })
    };
    files.iter().flat_map(sleeping).collect()
}

fn find(files: &[File], law: impl Fn(&[Token<'_>], usize) -> Option<String> + Copy) -> Vec<String> {
    files.iter().flat_map(|file| find_in(file, law)).collect()
}

/// What `law` says about each token of the file, with its place.
fn find_in(file: &File, law: impl Fn(&[Token<'_>], usize) -> Option<String>) -> Vec<String> {
    let stripped = strip(&file.text);
    let tokens = tokens(&stripped);
    let said = |at: usize| {
        law(&tokens, at).map(|said| format!("{}:{}: {said}", file.path, tokens[at].line))
    };
    (0..tokens.len()).filter_map(said).collect()
}

/// Whether a comment with `SAFETY:` stands in the line or right above its statement, attributes
/// between allowed. `code` are the lines of `text` without comments.
fn has_reason(text: &[&str], code: &[&str], line: usize) -> bool {
    let says = |at: usize| ["// SAFETY:", "/* SAFETY:"].iter().any(|word| text[at].contains(word));
    if says(line) {
        return true;
    }
    let mut commented = false;
    for at in (0..line).rev() {
        let (comment, rest) = (text[at].trim(), code[at].trim());
        if rest.is_empty() {
            if comment.is_empty() {
                return false;
            }
            commented = true;
            if says(at) {
                return true;
            }
        } else if commented || ends_statement(rest) {
            return false;
        }
    }
    false
}

fn ends_statement(code: &str) -> bool {
    code.ends_with([';', '{', '}', ','])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::made_up;

    fn one(text: &str) -> Vec<File> {
        made_up(&[("src/x.rs", text)])
    }

    #[test]
    fn what_is_unfinished_is_found() {
        for text in ["fn f() { todo!() }", "unimplemented!(\"x\")", "x(dbg!(1))"] {
            assert_eq!(unfinished(&one(text)).len(), 1, "{text}");
        }
        assert!(unfinished(&one("// todo!()\nlet todo = \"dbg!(x)\"; todo != 1;")).len() == 1);
        assert!(unfinished(&one("// todo!()\nlet x = \"dbg!(x)\"; todo_list!();")).is_empty());
    }

    #[test]
    fn unsafe_in_the_wrong_file_is_found() {
        let files =
            made_up(&[("src/a.rs", "unsafe fn f() {}"), ("src/b/c.rs", "unsafe impl X for Y {}")]);
        assert_eq!(unsafe_elsewhere(&files, &[]).len(), 2);
        assert_eq!(unsafe_elsewhere(&files, &["src/a.rs"]).len(), 1);
        assert_eq!(unsafe_elsewhere(&files, &["src/a.rs", "src/b/"]).len(), 0);
        assert!(
            unsafe_elsewhere(&one("// unsafe\n#[deny(unsafe_op_in_unsafe_fn)] x"), &[]).is_empty()
        );
    }

    #[test]
    fn unsafe_without_its_reason_is_found() {
        for text in [
            "unsafe { x() }",
            "// why not\nunsafe { x() }",
            "// SAFETY: of another.\nlet y = 1;\nunsafe { x() }",
            "// SAFETY: too far.\n\nunsafe { x() }",
            "f(\"SAFETY:\", unsafe { x() })",
            "unsafe impl Send for X {}",
        ] {
            assert_eq!(unsafe_without_reason(&one(text)).len(), 1, "{text}");
        }
        for text in [
            "// SAFETY: x.\nunsafe { x() }",
            "// SAFETY: x\n// goes on.\nlet y =\n    unsafe { x() };",
            "let y = unsafe { x() }; // SAFETY: x.",
            "// SAFETY: x.\n#[allow(y)]\nunsafe impl Send for X {}",
            "unsafe fn f() {}",
        ] {
            assert_eq!(unsafe_without_reason(&one(text)), [""; 0], "{text}");
        }
    }

    #[test]
    fn a_long_file_is_found() {
        assert_eq!(too_long(&one("\n\n\n"), 2).len(), 1);
        assert!(too_long(&one("\n\n\n"), 3).is_empty());
    }

    #[test]
    fn a_sleeping_test_is_found() {
        let asleep = "use tokio::time::{self, sleep};";
        assert_eq!(sleeping_tests(&made_up(&[("tests/x.rs", asleep)])).len(), 1);
        assert_eq!(sleeping_tests(&made_up(&[("tests/x.rs", "std::thread::sleep(d)")])).len(), 1);
        assert_eq!(
            sleeping_tests(&one(&format!("#[cfg(test)] mod tests {{ {asleep} }}"))).len(),
            1
        );
        assert!(sleeping_tests(&one(asleep)).is_empty());
        assert!(sleeping_tests(&made_up(&[("tests/x.rs", "// sleep\n\"sleep\"")])).is_empty());
    }
}
