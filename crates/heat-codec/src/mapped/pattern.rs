//! Topic patterns: levels that are texts, `{captures}`, `+`, or at the end `#`.

/// One level of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Level {
    Text(Box<str>),
    Capture,
    Any,
    Rest,
}

/// A checked topic pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern {
    levels: Vec<Level>,
    captures: Vec<Box<str>>,
}

impl Pattern {
    /// Reads a pattern; the error says what is wrong.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut pattern = Self { levels: Vec::new(), captures: Vec::new() };
        if text.is_empty() {
            return Err("it is empty: write a topic such as plant/{site}/data".to_owned());
        }
        let mut texts = text.split('/').peekable();
        while let Some(text) = texts.next() {
            let is_last = texts.peek().is_none();
            let level = match text {
                "+" => Level::Any,
                "#" if is_last => Level::Rest,
                "#" => return Err("# may stand at the end only".to_owned()),
                _ => pattern.level(text)?,
            };
            pattern.levels.push(level);
        }
        Ok(pattern)
    }

    fn level(&mut self, text: &str) -> Result<Level, String> {
        let Some(name) = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) else {
            return match text.find(['{', '}', '+', '#']) {
                None => Ok(Level::Text(text.into())),
                Some(_) => Err(format!("{text:?}: a capture, + or # must be a whole level")),
            };
        };
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if name.is_empty() || !name.chars().all(is_word) {
            return Err(format!("{{{name}}}: a capture's name has letters, digits and _ only"));
        }
        if name == "key" || self.capture(name).is_some() {
            let problem = if name == "key" { "means an element's key" } else { "is there twice" };
            return Err(format!("{{{name}}} {problem}: choose another name"));
        }
        self.captures.push(name.into());
        Ok(Level::Capture)
    }

    /// Number of the capture of this name.
    pub(super) fn capture(&self, name: &str) -> Option<usize> {
        self.captures.iter().position(|known| **known == *name)
    }

    /// The pattern as an MQTT topic filter.
    pub(super) fn filter(&self) -> String {
        let mut filter = String::new();
        for (at, level) in self.levels.iter().enumerate() {
            if at > 0 {
                filter.push('/');
            }
            filter.push_str(match level {
                Level::Text(text) => text,
                Level::Capture | Level::Any => "+",
                Level::Rest => "#",
            });
        }
        filter
    }

    /// The topic that alone fits, if there is but one.
    pub(super) fn literal(&self) -> Option<String> {
        self.levels.iter().all(|level| matches!(level, Level::Text(_))).then(|| self.filter())
    }

    /// What the captures hold, if the topic fits.
    pub(super) fn captures<'t>(&self, topic: &'t str) -> Option<Vec<&'t str>> {
        // MQTT: wildcards do not reach the broker's own topics.
        if topic.starts_with('$') && !matches!(self.levels.first(), Some(Level::Text(_))) {
            return None;
        }
        let mut found = Vec::with_capacity(self.captures.len());
        let mut texts = topic.split('/');
        for level in &self.levels {
            if *level == Level::Rest {
                return Some(found);
            }
            let text = texts.next()?;
            match level {
                Level::Text(wanted) if **wanted != *text => return None,
                Level::Capture => found.push(text),
                Level::Text(_) | Level::Any | Level::Rest => {}
            }
        }
        texts.next().is_none().then_some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_captures_whole_levels() {
        let pattern = Pattern::parse("plant/{site}/+/{device}/#").unwrap();
        assert_eq!(pattern.filter(), "plant/+/+/+/#");
        assert_eq!(pattern.captures("plant/st01/x/meter/data/1"), Some(vec!["st01", "meter"]));
        assert_eq!(pattern.captures("plant/st01/x/meter"), Some(vec!["st01", "meter"]));
        assert_eq!(pattern.captures("plant/st01/x"), None);
        assert_eq!(pattern.captures("other/st01/x/meter/1"), None);
        assert_eq!((pattern.capture("device"), pattern.capture("network")), (Some(1), None));
        assert_eq!(
            (pattern.literal(), Pattern::parse("a/b").unwrap().literal()),
            (None, Some("a/b".to_owned()))
        );
    }

    #[test]
    fn wildcards_do_not_reach_the_brokers_own_topics() {
        assert_eq!(Pattern::parse("#").unwrap().captures("$SYS/broker/uptime"), None);
        assert_eq!(Pattern::parse("$SYS/+/uptime").unwrap().captures("$SYS/broker/uptime"), Some(vec![]));
    }

    #[test]
    fn faulty_patterns_are_refused() {
        for bad in ["", "a/#/b", "a/x{b}", "a/{b}/{b}", "a/{}", "a/{b c}", "a/{key}", "a/b+", "{a"] {
            assert!(Pattern::parse(bad).is_err(), "{bad}");
        }
    }
}
