//! Which topic filters a device may subscribe to, and which topics they match.

/// Whether the filter names commands for one Sparkplug edge node or its devices: `spBv1.0/GROUP/NCMD/NODE`,
/// `spBv1.0/GROUP/DCMD/NODE/DEVICE`, wildcards only below the node, or the state of the host application,
/// `spBv1.0/STATE/HOST`, which nodes wait for.
pub(crate) fn is_command_filter(filter: &str) -> bool {
    if filter.len() > 512 {
        return false;
    }
    let levels: Vec<&str> = filter.split('/').collect();
    let is_name = |level: &str| !level.is_empty() && !level.contains(['+', '#', '\0']);
    match levels.as_slice() {
        ["spBv1.0", "STATE", host] => is_name(host),
        ["spBv1.0", group, "NCMD", node] => is_name(group) && is_name(node),
        ["spBv1.0", group, "NCMD" | "DCMD", node, below] => {
            is_name(group) && is_name(node) && (is_name(below) || matches!(*below, "+" | "#"))
        }
        _ => false,
    }
}

/// Whether a topic is that of a command for one Sparkplug node or device. Nothing else is ever sent to devices.
pub(crate) fn is_command_topic(topic: &str) -> bool {
    let is_name = |level: &&str| !level.is_empty() && !level.contains(['+', '#', '\0']);
    let levels: Vec<&str> = topic.split('/').collect();
    let is_command =
        matches!(levels.as_slice(), ["spBv1.0", _, "NCMD", _, ..] | ["spBv1.0", _, "DCMD", _, _, ..]);
    is_command && topic.len() <= 512 && levels.iter().all(is_name)
}

/// Whether a filter matches a topic.
pub(crate) fn matches(filter: &str, topic: &str) -> bool {
    let mut levels = topic.split('/');
    for part in filter.split('/') {
        // Also with no level left: `a/#` matches `a`.
        if part == "#" {
            return true;
        }
        match levels.next() {
            Some(level) if part == "+" || part == level => {}
            Some(_) | None => return false,
        }
    }
    levels.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_commands_of_one_node_may_be_subscribed_to() {
        for granted in [
            "spBv1.0/city/NCMD/node1",
            "spBv1.0/city/NCMD/node1/#",
            "spBv1.0/city/DCMD/node1/+",
            "spBv1.0/city/DCMD/node1/#",
            "spBv1.0/city/DCMD/node1/dev",
            "spBv1.0/STATE/host",
        ] {
            assert!(is_command_filter(granted), "{granted}");
        }
        for refused in [
            "#",
            "heat/v1/#",
            "spBv1.0/#",
            "spBv1.0/+/NCMD/node1",
            "spBv1.0/city/NCMD/+",
            "spBv1.0/city/NCMD/#",
            "spBv1.0/city/DCMD/node1",
            "spBv1.0/city/NDATA/node1",
            "spBv1.0/city/DCMD/node1/a+",
            "$share/g/spBv1.0/city/NCMD/node1",
            "",
        ] {
            assert!(!is_command_filter(refused), "{refused}");
        }
    }

    #[test]
    fn only_commands_of_one_node_may_be_sent() {
        for sent in ["spBv1.0/city/NCMD/node1", "spBv1.0/city/NCMD/node1/x", "spBv1.0/city/DCMD/node1/dev"] {
            assert!(is_command_topic(sent), "{sent}");
        }
        for refused in [
            "",
            "heat/v1/n/s/d",
            "spBv1.0/city/NCMD",
            "spBv1.0/city/NCMD/",
            "spBv1.0/city/NCMD/+",
            "spBv1.0/+/NCMD/node1",
            "spBv1.0/city/DCMD/node1",
            "spBv1.0/city/DCMD/node1/#",
            "spBv1.0/city/NDATA/node1",
            "spBv1.0/city/NDEATH/node1",
            "spBv1.0/STATE/host",
            "spAv1.0/city/NCMD/node1",
            "$SYS/city/NCMD/node1",
        ] {
            assert!(!is_command_topic(refused), "{refused}");
        }
    }

    #[test]
    fn filters_match_as_the_standard_says() {
        assert!(matches("spBv1.0/g/NCMD/n/#", "spBv1.0/g/NCMD/n/x/y"));
        assert!(matches("a/+", "a/b"));
        assert!(matches("a/b", "a/b"));
        assert!(!matches("a/+", "a/b/c"));
        assert!(!matches("a/+", "a"));
        assert!(!matches("a/b", "a"));
    }

    #[test]
    fn a_multi_level_wildcard_matches_its_parent_too() {
        assert!(matches("a/#", "a"));
    }
}
