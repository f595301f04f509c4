//! Which addresses are topics: places where a data object's news is published to any number of
//! subscribers. It knows no subscriber.

use crate::address::Address;

/// True for `…/changes`, `…/registration`, and `…/children` with whatever stands below it.
///
/// Anyone may subscribe to a topic, and nobody claims one by doing so. O(length of the address).
pub fn is_topic(address: &Address<'_>) -> bool {
    let mut last = "";
    for segment in address.segments() {
        if segment == "children" {
            return true;
        }
        last = segment;
    }
    matches!(last, "changes" | "registration")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_told_from_other_addresses() {
        let topics = [
            "comm://a.com/1/changes",
            "comm://a.com/1/children/message",
            "comm://a.com/1/children/message/changes",
            "comm://a.com/1/children",
            "hyperty://a.com/1/registration",
            "hyperty-runtime://a.com/1/registry/changes",
        ];
        let others = [
            "comm://a.com/1",
            "comm://a.com/1/changes/more",
            "comm://a.com/1/childrens/x",
            "comm://a.com/1/registrations",
            "comm://changes",
            "hyperty://a.com/1/subscription",
        ];
        for (list, expected) in [(&topics[..], true), (&others[..], false)] {
            for text in list {
                assert_eq!(is_topic(&Address::parse(text).unwrap()), expected, "{text}");
            }
        }
    }
}
