//! Credentials from a file of `NAME=value` lines, as systemd's `EnvironmentFile=` and Docker's `--env-file` read them.

use std::path::{Path, PathBuf};

/// Why a credentials file cannot be used. Names a line, never what is in it.
#[derive(Debug, thiserror::Error)]
pub(super) enum FileError {
    #[error("read the credentials file {path}: make it readable for this user", path = .path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{path}:{line}: write NAME=value, such as AWS_ACCESS_KEY_ID=...", path = .path.display())]
    Line { path: PathBuf, line: usize },
    #[error("{path}: {name} is no setting of this kind of store: remove the line", path = .path.display())]
    Name { path: PathBuf, name: String },
}

/// The names, in lower case, and values of a file.
pub(super) fn read(path: &Path) -> Result<Vec<(String, String)>, FileError> {
    let text =
        std::fs::read_to_string(path).map_err(|source| FileError::Read { path: path.to_owned(), source })?;
    let mut entries = Vec::new();
    for (line, text) in (1..).zip(text.lines()) {
        let text = text.trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let entry = text.split_once('=').filter(|(name, _)| is_name(name.trim()));
        let Some((name, value)) = entry else { return Err(FileError::Line { path: path.to_owned(), line }) };
        entries.push((name.trim().to_ascii_lowercase(), unquoted(value.trim()).to_owned()));
    }
    Ok(entries)
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn unquoted(value: &str) -> &str {
    let quoted = |quote| value.strip_prefix(quote).and_then(|value| value.strip_suffix(quote));
    quoted('"').or_else(|| quoted('\'')).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_are_read_and_a_fault_names_the_line_but_not_the_secret() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("credentials");
        std::fs::write(&path, "# of the archive\n\nAWS_ACCESS_KEY_ID = abc\nAWS_SECRET_ACCESS_KEY=\"x=y\"\n")
            .unwrap();

        let entries = read(&path).unwrap();

        let expected = [("aws_access_key_id", "abc"), ("aws_secret_access_key", "x=y")];
        assert_eq!(entries, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));

        std::fs::write(&path, "AWS_ACCESS_KEY_ID=abc\nsecret-without-a-name\n").unwrap();
        let error = read(&path).unwrap_err().to_string();
        assert!(error.contains("credentials:2") && !error.contains("secret-without"), "{error}");
    }
}
