//! Goal: addresses are what design section 3 says, errors name the right byte.
//! Method: tables for the rules, and an oracle that splits at every `/` for what holds of all addresses.

use proptest::prelude::*;

use super::*;
use crate::limits::{ADDRESS_BYTES_MAX, ADDRESS_SEGMENTS_MAX};

fn parse(text: &str) -> Result<Address<'_>, AddressError> {
    Address::parse(text)
}

#[test]
fn takes_apart() {
    let address = parse("hyperty://msg-node.example.org/a/b/").unwrap();
    assert_eq!(address.as_str(), "hyperty://msg-node.example.org/a/b");
    assert_eq!(address.scheme(), "hyperty");
    assert_eq!(address.authority(), "msg-node.example.org");
    assert_eq!(address.base(), "hyperty://msg-node.example.org");
    assert_eq!(address.domain(), "example.org");
    assert_eq!(address.segments().collect::<Vec<_>>(), ["a", "b"]);
    assert!(!address.is_bare());
    assert!(parse("hyperty://a/").unwrap().is_bare());
}

#[test]
fn domain_takes_off_one_label() {
    let domain = |text| Address::parse(text).unwrap().domain();
    assert_eq!(domain("domain://registry.a.org"), "a.org");
    assert_eq!(domain("domain://registry.msg-node.a.org"), "msg-node.a.org");
    assert_eq!(domain("domain://msg-node.msg-node.a.org/sm"), "msg-node.a.org");
    assert_eq!(domain("domain://msg-nodes.a.org"), "msg-nodes.a.org");
    assert_eq!(domain("domain://Msg-Node.a.org"), "Msg-Node.a.org");
    assert_eq!(domain("domain://registry."), "registry.");
}

#[test]
fn refuses_with_the_offset() {
    let refused = |text, error| assert_eq!(Address::parse(text).unwrap_err(), error, "{text:?}");
    refused("", AddressError::NoScheme);
    refused("/", AddressError::NoScheme);
    refused("mn:/session", AddressError::NoScheme);
    refused("://a", AddressError::EmptyScheme);
    refused(":///", AddressError::EmptyScheme);
    for text in ["a://", "a:///", "a:///b", "a:////"] {
        refused(text, AddressError::EmptyDomain);
    }
    refused("a://b//", AddressError::EmptySegment { at: 6 });
    refused("a://b//c", AddressError::EmptySegment { at: 6 });
    refused("a://b/c//d", AddressError::EmptySegment { at: 8 });
    refused("a://b/c//", AddressError::EmptySegment { at: 8 });
    refused("a://b/.", AddressError::DotSegment { at: 6 });
    refused("a://b/cc/../d", AddressError::DotSegment { at: 9 });
    refused("a://b/../", AddressError::DotSegment { at: 6 });
    refused("a://b/c\u{1f}", AddressError::ControlCharacter { at: 7 });
    refused("a://b/é\u{7f}", AddressError::ControlCharacter { at: 8 });
    refused("a://b/\u{85}", AddressError::ControlCharacter { at: 6 });
    for text in ["a://b/...", "a://b/.c", "a://b c/é", "a://b?x=1#y", "a://b/%2e%2e"] {
        assert_eq!(parse(text).unwrap().as_str(), text);
    }
}

#[test]
fn bounds_are_exact() {
    let long = format!("a://{}", "b".repeat(ADDRESS_BYTES_MAX - 4));
    assert!(parse(&long).is_ok());
    assert!(
        parse(&format!("{long}/")).is_ok(),
        "a trailing slash is ignored, so it is not counted"
    );
    let (bytes, bytes_max) = (ADDRESS_BYTES_MAX + 1, ADDRESS_BYTES_MAX);
    assert_eq!(parse(&format!("{long}b")), Err(AddressError::TooLong { bytes, bytes_max }));

    let deep = format!("a://b{}", "/c".repeat(ADDRESS_SEGMENTS_MAX));
    assert!(parse(&deep).is_ok());
    assert!(parse(&format!("{deep}/")).is_ok());
    let (segments, segments_max) = (ADDRESS_SEGMENTS_MAX + 1, ADDRESS_SEGMENTS_MAX);
    let error = AddressError::TooManySegments { segments, segments_max };
    assert_eq!(parse(&format!("{deep}/c")), Err(error));
}

#[test]
fn covers_at_boundaries_only() {
    let covers = |a, b| Address::parse(a).unwrap().covers(&Address::parse(b).unwrap());
    assert!(covers("hyperty://a/b", "hyperty://a/b"));
    assert!(covers("hyperty://a/b", "hyperty://a/b/c"));
    assert!(covers("hyperty://a/b/", "hyperty://a/b/c"));
    assert!(covers("hyperty://a", "hyperty://a/b"));
    assert!(!covers("hyperty://a/b", "hyperty://a/bc"));
    assert!(!covers("hyperty://a/b/c", "hyperty://a/b"));
    assert!(!covers("hyperty://a", "hyperty://ab/c"));
    assert!(!covers("runtime://a/b", "hyperty-runtime://a/b"));
    assert!(!covers("hyperty://a/B", "hyperty://a/b"));
}

#[test]
fn an_owned_address_keeps_its_parts() {
    let url = Url::parse("a://b/c/").unwrap();
    assert_eq!(url.address(), parse("a://b/c").unwrap());
    assert_eq!(url.join("d/e").unwrap().as_str(), "a://b/c/d/e");
    assert_eq!(url.join("/d"), Err(AddressError::EmptySegment { at: 8 }));
    assert_eq!(url.join(""), Ok(url.clone()));
    assert_eq!("a://b/c".parse(), Ok(url));
}

/// The oracle: the address as scheme, authority and a list of segments, or no address at all.
fn naive(text: &str) -> Option<(String, String, Vec<String>)> {
    let (scheme, rest) = text.split_once("://")?;
    let mut parts: Vec<&str> = rest.split('/').collect();
    if parts.len() > 1 && parts.last() == Some(&"") {
        parts.pop();
    }
    let authority = parts.remove(0);
    let trimmed =
        scheme.len() + 3 + authority.len() + parts.iter().map(|p| p.len() + 1).sum::<usize>();
    let fine = !scheme.is_empty()
        && !authority.is_empty()
        && parts.iter().all(|part| !["", ".", ".."].contains(part))
        && !text.chars().any(char::is_control)
        && trimmed <= ADDRESS_BYTES_MAX
        && parts.len() <= ADDRESS_SEGMENTS_MAX;
    let owned = parts.into_iter().map(str::to_owned).collect();
    fine.then(|| (scheme.to_owned(), authority.to_owned(), owned))
}

/// Texts near addresses: short pieces out of which separators come often.
fn texts() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => Just("/".to_owned()),
        1 => Just("://".to_owned()),
        1 => Just(".".to_owned()),
        1 => Just("registry.".to_owned()),
        1 => Just("\u{9f}".to_owned()),
        6 => "[ab]{1,2}",
        1 => "é",
    ];
    let rubbish = prop::collection::vec(piece.clone(), 0..10).prop_map(|p| p.concat());
    let tail = prop::collection::vec(piece, 0..8).prop_map(|p| format!("a://b/{}", p.concat()));
    let many = (60_usize..68, any::<bool>())
        .prop_map(|(n, slash)| format!("a://b{}{}", "/c".repeat(n), if slash { "/" } else { "" }));
    prop_oneof![3 => rubbish, 6 => tail, 1 => many]
}

proptest! {
    #[test]
    fn agrees_with_the_oracle(text in texts()) {
        match (parse(&text), naive(&text)) {
            (Err(_), None) => {}
            (Ok(address), Some((scheme, authority, segments))) => {
                prop_assert_eq!(address.scheme(), scheme);
                prop_assert_eq!(address.authority(), authority);
                prop_assert_eq!(address.segments().collect::<Vec<_>>(), segments);
            }
            (ours, theirs) => prop_assert!(false, "{ours:?} but the oracle says {theirs:?}"),
        }
    }

    #[test]
    fn boundaries_are_the_prefixes(text in texts()) {
        let Ok(address) = parse(&text) else { return Ok(()) };
        let ends: Vec<usize> = address.boundaries().collect();
        let mut prefix = address.base().to_owned();
        let mut expected = vec![prefix.len()];
        for segment in address.segments() {
            prefix = format!("{prefix}/{segment}");
            expected.push(prefix.len());
        }
        prop_assert_eq!(&ends, &expected);
        for end in ends {
            prop_assert!(parse(&text[..end]).unwrap().covers(&address));
        }
    }

    #[test]
    fn covers_is_a_prefix_of_segments(a in texts(), b in texts()) {
        let (Ok(x), Ok(y)) = (parse(&a), parse(&b)) else { return Ok(()) };
        let (p, q): (Vec<_>, Vec<_>) = (x.segments().collect(), y.segments().collect());
        prop_assert_eq!(x.covers(&y), x.base() == y.base() && q.starts_with(&p));
    }

    #[test]
    fn a_trailing_slash_changes_nothing(text in texts()) {
        let Ok(address) = parse(&text) else { return Ok(()) };
        let slashed = format!("{}/", address.as_str());
        prop_assert_eq!(parse(&slashed), Ok(address));
    }
}
