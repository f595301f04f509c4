//! "Addresses and prefixes", and listeners on them.

use serde_json::json;

use crate::harness::{ME, OURS, check, message, to, trace};

/// "A **prefix** ends at a segment boundary: `hyperty://a/b` covers itself and `hyperty://a/b/c`, never
/// `hyperty://a/bc`."
#[test]
fn c_is_no_prefix_of_cart() {
    check(
        &["hyperty://b.org/c"],
        &[
            (to("hyperty://b.org/c"), "local hyperty://b.org/c"),
            (to("hyperty://b.org/c/1/2"), "local hyperty://b.org/c"),
            (
                to("hyperty://b.org/cart"),
                "message-node ~/protostub/b.org > read domain://registry.b.org",
            ),
            (
                to("hyperty://b.org"),
                "message-node ~/protostub/b.org > read domain://registry.b.org",
            ),
        ],
    );
}

/// "compared byte for byte after JSON unescaping; no case folding, no percent-decoding" and "one trailing `/`
/// is accepted and ignored".
#[test]
fn addresses_are_compared_byte_for_byte_after_unescaping() {
    let escaped = to("URL").replace("URL", r"hyperty:\/\/b.org\/\u0063");
    check(
        &["hyperty://b.org/c"],
        &[
            (escaped, "local hyperty://b.org/c"),
            (to("hyperty://b.org/c/"), "local hyperty://b.org/c"),
            (
                to("hyperty://b.org/C"),
                "message-node ~/protostub/b.org > read domain://registry.b.org",
            ),
            (
                to("hyperty://b.org/%63"),
                "message-node ~/protostub/b.org > read domain://registry.b.org",
            ),
            (
                to("hyperty://B.org/c"),
                "message-node ~/protostub/B.org > read domain://registry.B.org",
            ),
        ],
    );
}

/// "Refused with a clear error: no `://`, empty scheme or domain, an empty path segment inside …, `.`/`..`
/// segments, control characters, more than 2,048 bytes, more than 64 segments."
#[test]
fn what_is_no_address_is_refused_by_name() {
    let long = format!("a://b/{}", "c".repeat(2_048));
    let deep = format!("a://b{}", "/c".repeat(65));
    let bad = [
        ("hyperty:/a/b", "no `://`"),
        ("://a/b", "nothing before `://`"),
        ("hyperty:///b", "no domain"),
        ("hyperty://a//b", "empty path segment at byte 12"),
        ("hyperty://a/./b", "`.` or `..` as a path segment at byte 12"),
        ("hyperty://a/b/..", "`.` or `..` as a path segment at byte 14"),
        ("hyperty://a/\u{7f}b", "control character at byte 12"),
        (&long, "2054 bytes, at most 2048"),
        (&deep, "65 path segments, at most 64"),
    ];
    let as_to = bad.iter().map(|(url, _)| to(url));
    let as_from = bad.iter().map(|(url, _)| message("update", url, json!(ME), json!({})));
    let lines: Vec<String> = as_to.chain(as_from).collect();
    for (at, line) in trace(&[], &lines).iter().enumerate() {
        let (member, (_, reason)) = (["`to`: ", "`from`: "][at / bad.len()], bad[at % bad.len()]);
        let found = line["error"]["reason"].as_str().unwrap();
        assert!(found.starts_with(member) && found.contains(reason), "{found} for {}", lines[at]);
        assert_eq!((&line["error"]["code"], &line["targets"]), (&json!(400), &json!([])));
    }
}

/// "`hyperty-runtime://` and `runtime://` are the same class of address, never rewritten into each other."
#[test]
fn the_two_runtime_schemes_are_two_addresses() {
    let other = OURS.replace("hyperty-runtime", "runtime");
    check(
        &[],
        &[
            (to(OURS), "unreachable ! 404"),
            (
                to(&other),
                "message-node ~/protostub/example.com > read domain://registry.example.com",
            ),
        ],
    );
}

/// "Several listeners may stand on one URL and all get it", and of several prefixes the longest counts.
#[test]
fn all_listeners_on_the_longest_prefix_get_it() {
    let listen = ["hyperty://b.org/c", "hyperty://b.org/c/d", "hyperty://b.org/c/d"];
    check(
        &listen,
        &[
            (to("hyperty://b.org/c/e"), "local hyperty://b.org/c"),
            (to("hyperty://b.org/c/d/e"), "local hyperty://b.org/c/d hyperty://b.org/c/d"),
        ],
    );
}

/// "An array `to` means one copy for each URL".
#[test]
fn an_array_has_one_decision_for_each_url() {
    let many = json!(["hyperty://b.org/c", "global://x", ME, "hyperty://b.org/c/1"]);
    check(
        &["hyperty://b.org/c"],
        &[(
            message("update", ME, many, json!({})),
            "local hyperty://b.org/c; message-node ~/protostub/example.com; \
         message-node ~/protostub/example.com; local hyperty://b.org/c \
         > read domain://registry.example.com",
        )],
    );
}
