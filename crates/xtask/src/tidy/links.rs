//! Links of Markdown files to files of the repository lead somewhere.
//!
//! Understands inline links and images, `[text](target)`, and definitions, `[label]: target`; code is skipped. Links to
//! other hosts and within a page are not followed.

use super::{Violation, repository::Repository};

/// Checks every Markdown file.
pub(crate) fn check(repository: &Repository) -> Vec<Violation> {
    let markdown = repository.texts().filter(|(path, _)| path.ends_with(".md"));
    markdown.flat_map(|(path, text)| check_file(path, text, repository)).collect()
}

fn check_file(path: &str, text: &str, repository: &Repository) -> Vec<Violation> {
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut violations = Vec::new();
    let mut fence = None;
    for (number, line) in (1..).zip(text.lines()) {
        let start = line.trim_start();
        let mark = ["```", "~~~"].into_iter().find(|mark| start.starts_with(mark));
        match (fence, mark) {
            (None, Some(_)) => fence = mark,
            (Some(open), Some(close)) if open == close => fence = None,
            (Some(_), _) => {}
            (None, None) => {
                let broken = targets(line).into_iter().filter(|target| !resolves(folder, target, repository));
                violations.extend(broken.map(|target| {
                    Violation::new(
                        path,
                        format!("links to {target}, which is not there"),
                        "name a file or folder relative to this file's folder",
                    )
                    .at(number)
                }));
            }
        }
    }
    violations
}

/// Targets of the links in a line.
fn targets(line: &str) -> Vec<String> {
    let mut text = String::new();
    // Every second part between backticks is code.
    for part in line.split('`').step_by(2) {
        text.push_str(part);
    }
    let mut found = Vec::new();
    let mut rest = text.as_str();
    while let Some((_, after)) = rest.split_once("](") {
        let Some((target, after)) = after.split_once(')') else { break };
        // A title may follow the target: [text](target "title").
        found.extend(target.split_whitespace().next().map(str::to_owned));
        rest = after;
    }
    if text.starts_with('[')
        && let Some((_, target)) = text.split_once("]: ")
    {
        found.extend(target.split_whitespace().next().map(str::to_owned));
    }
    found
}

fn resolves(folder: &str, target: &str, repository: &Repository) -> bool {
    let target = target.trim_start_matches('<').trim_end_matches('>');
    let has_scheme = target.split_once(':').is_some_and(|(scheme, _)| !scheme.contains('/'));
    if has_scheme || target.starts_with('#') {
        return true;
    }
    let file = target.split_once('#').map_or(target, |(file, _)| file);
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in file.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                if parts.pop().is_none() {
                    return false;
                }
            }
            name => parts.push(name),
        }
    }
    repository.contains(&parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<usize> {
        let files = [("README.md", ""), ("docs/a.md", text), ("docs/pictures/flow.svg", "<svg/>")];
        check(&Repository::of(&files)).into_iter().filter_map(|violation| violation.line).collect()
    }

    #[test]
    fn links_to_files_and_folders_resolve_from_the_pages_folder() {
        let text = "[a](../README.md#part) ![b](pictures/flow.svg \"flow\") [c](./pictures) [d](pictures/)\n[e]: a.md\n";
        assert_eq!(lines(text), Vec::<usize>::new());
    }

    #[test]
    fn links_that_lead_nowhere_are_found_with_their_line() {
        assert_eq!(lines("fine\n[a](b.md) and [b](../../README.md)\n\n[c]: ../READNE.md\n"), [2, 2, 4]);
    }

    #[test]
    fn other_hosts_and_places_in_the_page_are_not_followed() {
        assert_eq!(
            lines("[a](https://example.org/x.md) [b](mailto:a@example.org) [c](#part)"),
            Vec::<usize>::new()
        );
    }

    #[test]
    fn code_is_not_read() {
        assert_eq!(lines("`[a](b.md)` x\n```\n[a](b.md)\n```\n[a](b.md)\n"), [5]);
    }
}
