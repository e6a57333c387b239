//! Options in one string: `key=value;key=value`, with a backslash before what stands for itself.

use std::collections::BTreeMap;

/// Reads options. One without `=` is empty. The error says what is wrong.
pub(super) fn read(text: &str) -> Result<BTreeMap<String, String>, String> {
    let mut options = BTreeMap::new();
    let mut pair: [Option<String>; 2] = [Some(String::new()), None];
    let mut characters = text.chars();
    let mut end = |pair: &mut [Option<String>; 2]| {
        let [key, value] = std::mem::replace(pair, [Some(String::new()), None]);
        let key = key.unwrap_or_default();
        if key.is_empty() && value.is_none() {
            return Ok(());
        }
        match options.insert(key.clone(), value.unwrap_or_default()) {
            Some(_) => Err(format!("{key:?} is there twice")),
            None => Ok(()),
        }
    };
    while let Some(character) = characters.next() {
        let part = |pair: &mut [Option<String>; 2], character| {
            let [key, value] = pair;
            if let Some(part) = value.as_mut().or(key.as_mut()) {
                part.push(character);
            }
        };
        match character {
            '\\' => match characters.next() {
                Some(character) => part(&mut pair, character),
                None => return Err("it ends with a backslash, which belongs before what it is about".into()),
            },
            ';' => end(&mut pair)?,
            '=' if pair[1].is_none() => pair[1] = Some(String::new()),
            character => part(&mut pair, character),
        }
    }
    end(&mut pair)?;
    Ok(options)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(options: &BTreeMap<String, String>) -> String {
        let escaped = |text: &str| text.replace('\\', "\\\\").replace(';', "\\;").replace('=', "\\=");
        options
            .iter()
            .map(|(key, value)| format!("{}={}", escaped(key), escaped(value)))
            .collect::<Vec<_>>()
            .join(";")
    }

    #[test]
    fn as_in_the_standards() {
        let pairs = |text| read(text).unwrap().into_iter().collect::<Vec<_>>();
        let is = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(
            pairs("shared-secret=rahasia;secrets-file=/tmp/blob"),
            [is("secrets-file", "/tmp/blob"), is("shared-secret", "rahasia")]
        );
        assert_eq!(pairs("server;path=/a\\;b=c"), [is("path", "/a;b=c"), is("server", "")]);
        assert_eq!(pairs(""), []);
        assert_eq!(pairs("cert=YQ==;"), [is("cert", "YQ==")]);
        assert!(read("a=1;a=2").is_err() && read("a\\").is_err());
    }

    proptest! {
        #[test]
        fn go_both_ways(options: BTreeMap<String, String>) {
            let mut options = options;
            options.remove("");
            prop_assert_eq!(read(&written(&options)), Ok(options));
        }

        #[test]
        fn anything_can_come(text: String) {
            let _ = read(&text);
        }
    }
}
