//! The mount tables of all mount namespaces that this process can see.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs;

/// Which of `words` some mount table has in it.
pub fn mentioned<'w>(words: &[&'w str]) -> HashSet<&'w str> {
    let mut found = HashSet::new();
    let mut seen: HashSet<OsString> = HashSet::new();
    let Ok(processes) = fs::read_dir("/proc") else {
        return found;
    };
    for process in processes.flatten() {
        if !process
            .file_name()
            .as_encoded_bytes()
            .iter()
            .all(u8::is_ascii_digit)
        {
            continue;
        }
        let path = process.path();
        let Ok(namespace) = fs::read_link(path.join("ns/mnt")) else {
            continue;
        };
        if !seen.insert(namespace.into_os_string()) {
            continue;
        }
        let table = fs::read_to_string(path.join("mountinfo")).unwrap_or_default();
        found.extend(words.iter().filter(|word| table.contains(**word)));
        if found.len() == words.len() {
            break;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_is_mounted() {
        let words = ["/proc", "no such mount"];
        assert_eq!(mentioned(&words), HashSet::from(["/proc"]));
    }
}
