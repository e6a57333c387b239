use super::*;
use proptest::prelude::*;

fn kind() -> impl Strategy<Value = Kind> {
    prop::sample::select(&Kind::ALL[..])
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), 0..300)
}

/// Another character of the alphabet.
fn other(line: &str, at: usize, add: usize) -> String {
    let mut line: Vec<char> = line.chars().collect();
    let at = PREFIX.len() + at;
    let old = usize::from(number(line[at]).unwrap());
    line[at] = char::from(ALPHABET[(old + 1 + add) % 32]);
    line.into_iter().collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn written_and_read(kind in kind(), bytes in proptest::collection::vec(any::<u8>(), 0..=LINE_BYTES_MAX)) {
        let line = write(kind, &bytes).unwrap();
        prop_assert!(line.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b':'));
        prop_assert_eq!(read(&line), Ok(Line { kind, bytes, mended: vec![] }));
    }

    #[test]
    fn case_blanks_and_look_alikes_do_not_matter(kind in kind(), bytes in bytes(), how in any::<u64>()) {
        let line = write(kind, &bytes).unwrap();
        let mut typed = String::new();
        for (at, c) in line.chars().enumerate() {
            let way = how.rotate_left(at as u32 * 7 % 64) % 8;
            let inside = at > PREFIX.len();
            match (way, c) {
                (0, _) if inside => typed.extend([' ', c]),
                (1, _) if inside => typed.extend(['-', c]),
                (2, _) if inside => typed.push_str(&format!("\r\n> {c}")),
                (3, '0') => typed.push('o'),
                (4, '0') => typed.push('О'),
                (3, '1') => typed.push('l'),
                (4, '1') => typed.push('і'),
                (3, 'V') => typed.push('u'),
                (4, 'C') if inside => typed.push('с'),
                (4, 'H') if inside => typed.push('н'),
                (5, _) => typed.push(c.to_ascii_lowercase()),
                _ => typed.push(c),
            }
        }
        prop_assert_eq!(read(&typed), Ok(Line { kind, bytes, mended: vec![] }));
    }

    #[test]
    fn two_wrong_characters_are_mended_and_named(
        kind in kind(),
        bytes in bytes(),
        at in any::<[prop::sample::Index; 2]>(),
        add in (0..31usize, 0..31usize),
    ) {
        let line = write(kind, &bytes).unwrap();
        let len = line.len() - PREFIX.len();
        let at = at.map(|at| at.index(len));
        prop_assume!(at[0] != at[1]);
        let read = read(&other(&other(&line, at[0], add.0), at[1], add.1)).unwrap();
        prop_assert_eq!((read.kind, read.bytes), (kind, bytes));
        let mut named: Vec<usize> = read.mended.iter().map(|mended| match mended {
            Mended::Wrong { at, should } => {
                assert_eq!(line.chars().nth(PREFIX.len() + at - 1), Some(*should));
                at - 1
            }
            Mended::Shifted { .. } => panic!("nothing is missing"),
        }).collect();
        named.sort_unstable();
        let mut at = at.to_vec();
        at.sort_unstable();
        prop_assert_eq!(named, at);
    }

    #[test]
    fn a_missing_character_is_mended(kind in kind(), bytes in bytes(), at in any::<prop::sample::Index>()) {
        let mut line = write(kind, &bytes).unwrap();
        line.remove(PREFIX.len() + at.index(line.len() - PREFIX.len()));
        let read = read(&line).unwrap();
        prop_assert_eq!((read.kind, read.bytes), (kind, bytes));
        let shifted = matches!(read.mended[..], [Mended::Shifted { .. }]);
        prop_assert!(shifted);
    }

    #[test]
    fn a_doubled_character_is_mended(kind in kind(), bytes in bytes(), at in any::<prop::sample::Index>()) {
        let mut line = write(kind, &bytes).unwrap();
        let at = PREFIX.len() + at.index(line.len() - PREFIX.len());
        line.insert(at, char::from(line.as_bytes()[at]));
        let read = read(&line).unwrap();
        prop_assert_eq!((read.kind, read.bytes), (kind, bytes));
    }

    #[test]
    fn what_is_cut_is_told(bytes in proptest::collection::vec(any::<u8>(), 20..200), keep in 0.1..0.9f64) {
        let line = write(Kind::Card, &bytes).unwrap();
        let keep = PREFIX.len() + 4 + ((line.len() - PREFIX.len() - 4) as f64 * keep) as usize;
        let error = read(&line[..keep]).unwrap_err();
        prop_assert_eq!(error, LineError::Length { found: keep - PREFIX.len(), expected: line.len() - PREFIX.len() });
    }

    #[test]
    fn anything_may_be_typed(text in "\\PC{0,300}") {
        let _ = read(&text);
        let _ = read_all(&text);
    }

    /// Every line that can be read is, without its mistakes, the line that would be written.
    #[test]
    fn a_line_has_one_form(text in "[0-9A-HJKMNP-TV-Z]{16,40}") {
        if let Ok(line) = read(&text) && line.mended.is_empty() {
            prop_assert_eq!(write(line.kind, &line.bytes).unwrap(), format!("{PREFIX}{text}"));
        }
    }
}

#[test]
fn several_lines_are_read_from_one_text() {
    let [one, two] = [&b"one"[..], b"two"].map(|bytes| write(Kind::Card, bytes).unwrap());
    let (first, second) = two.split_at(14);
    let text = format!("# from a friend\nTake these: {one}\n{first}\n  {second}\n");
    let read = read_all(&text).unwrap();
    assert_eq!(read.iter().map(|line| &line.bytes[..]).collect::<Vec<_>>(), [b"one", b"two"]);
    assert_eq!(read_all("hello"), Err(LineError::Missing));
}

#[test]
fn errors_say_where() {
    let line = write(Kind::Card, b"what a card would say").unwrap();
    let wrong = format!("{}*{}", &line[..20], &line[21..]);
    assert_eq!(read(&wrong), Err(LineError::Character { at: 12, found: '*' }));
    let damaged = other(&other(&other(&line, 10, 3), 20, 3), 30, 3);
    assert_eq!(read(&damaged), Err(LineError::Damaged));
    assert!(matches!(read("DAYLIGHT:"), Err(LineError::Missing)));
    let grouped: Vec<&str> = groups(&line).collect();
    assert_eq!(grouped.concat(), line[PREFIX.len()..]);
    assert!(grouped.iter().rev().skip(1).all(|group| group.len() == GROUP));
}
