//! The shape of the source, held by reading it as text.
//!
//! Goal: a module names modules on lower layers only, no two files of a module need each other, and
//! the house rules of CONTRIBUTING.md that no lint knows hold. Method: every source file is stripped
//! of comments and literals, cut into tokens, and its paths (`crate::`, `super::`, `self::`, with
//! groups) are resolved to modules. This is not a parser of Rust: names that macros put together
//! and what method calls infer are not seen.
//!
//! Each law is first shown to fail on a small made-up source, then held on ours.

#[path = "layering/house.rs"]
mod house;
#[path = "layering/layers.rs"]
mod layers;
#[path = "layering/paths.rs"]
mod paths;
#[path = "layering/text.rs"]
mod text;

use std::{fs, path::Path};

/// The modules of the crate, lowest first: each may name those before it. `lib.rs` and `bin/` are
/// the top and may name all.
const LAYERS: &[&str] = &[
    "limits",
    "simd",
    "address",
    "message",
    "memory",
    "slab",
    "fib",
    "status",
    "link",
    "handover",
    "subscription",
    "registry",
    "bus",
    "p2p",
    "ua",
    "transport",
    "node",
    "runtime",
];

/// Where `unsafe` may stand: a file, or all files of a directory (with a `/` at the end).
const UNSAFE_ALLOWED: &[&str] =
    &["src/message/checked.rs", "src/simd/", "src/memory.rs", "src/slab/", "src/fib/"];

/// Lines of one source file. Past some 400 a second noun is hiding in it; this is the hard end.
const FILE_LINES_MAX: usize = 600;

/// One source file: its path from the root of the crate, with `/`, and its text.
struct File {
    path: String,
    text: String,
}

#[test]
fn modules_name_lower_layers_only() {
    assert_none(layers::upward(&files_below(&["src"]), LAYERS));
}

#[test]
fn files_of_a_module_do_not_need_each_other() {
    assert_none(layers::cycles(&files_below(&["src"])));
}

#[test]
fn every_file_is_part_of_the_crate() {
    assert_none(layers::orphans(&files_below(&["src"])));
}

#[test]
fn nothing_is_left_to_do() {
    assert_none(house::unfinished(&files_below(&["src"])));
}

#[test]
fn unsafe_is_rare_and_says_why() {
    let files = files_below(&["src"]);
    assert_none(house::unsafe_elsewhere(&files, UNSAFE_ALLOWED));
    assert_none(house::unsafe_without_reason(&files));
}

#[test]
fn files_fit_a_sitting() {
    let files = files_below(&["src", "tests", "benches", "examples", "fuzz/fuzz_targets"]);
    assert_none(house::too_long(&files, FILE_LINES_MAX));
}

#[test]
fn tests_do_not_sleep() {
    assert_none(house::sleeping_tests(&files_below(&["src", "tests"])));
}

/// The `.rs` files below these directories of the crate; a directory that is not there has none.
fn files_below(directories: &[&str]) -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for directory in directories {
        collect(root, directory, &mut files);
    }
    assert!(!files.is_empty(), "no sources below {}", root.display());
    files
}

fn collect(root: &Path, directory: &str, files: &mut Vec<File>) {
    let Ok(entries) = fs::read_dir(root.join(directory)) else { return };
    let mut entries: Vec<_> = entries.map(|entry| entry.expect("readable directory")).collect();
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name().into_string().expect("file names are UTF-8");
        let path = format!("{directory}/{name}");
        if entry.file_type().expect("file type").is_dir() {
            collect(root, &path, files);
        } else if name.ends_with(".rs") {
            let text = fs::read_to_string(root.join(&path)).expect("sources are UTF-8");
            files.push(File { path, text });
        }
    }
}

#[track_caller]
fn assert_none(violations: Vec<String>) {
    assert!(violations.is_empty(), "{} found:\n{}", violations.len(), violations.join("\n"));
}

/// Made-up sources for the tests of the laws.
#[cfg(test)]
fn made_up(files: &[(&str, &str)]) -> Vec<File> {
    files.iter().map(|(path, text)| File { path: (*path).into(), text: (*text).into() }).collect()
}
