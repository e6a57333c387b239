//! A row as Zeek's JSON writer writes it (`LogAscii::use_json`): one object a line, what is unset left out, times and
//! intervals as seconds, sets and vectors as arrays.
//!
//! It is made from the cells of the tab-separated row, whose escapes tell `-` and `(empty)` from what was never seen: so both
//! forms come from the same tables.

use super::text::{EMPTY, UNSET};

/// Appends the object for cells with tabs between them.
pub(super) fn row(columns: &[(&str, &str)], cells: &[u8], line: &mut Vec<u8>) {
    line.push(b'{');
    let mut first = true;
    for ((name, ty), cell) in columns.iter().zip(cells.split(|byte| *byte == b'\t')) {
        if cell == UNSET.as_bytes() {
            continue;
        }
        if !std::mem::replace(&mut first, false) {
            line.push(b',');
        }
        string(name, line);
        line.push(b':');
        let element = ty.split_once('[').map(|(_, rest)| rest.trim_end_matches(']'));
        match element {
            None => value(ty, cell, line),
            Some(_) if cell == EMPTY.as_bytes() => line.extend_from_slice(b"[]"),
            Some(element) => {
                for (i, item) in cell.split(|byte| *byte == b',').enumerate() {
                    line.push(if i == 0 { b'[' } else { b',' });
                    value(element, item, line);
                }
                line.push(b']');
            }
        }
    }
    line.push(b'}');
}

fn value(ty: &str, cell: &[u8], line: &mut Vec<u8>) {
    match ty {
        "bool" => line.extend_from_slice(if cell == b"T" { b"true" } else { b"false" }),
        "count" | "int" | "port" => line.extend_from_slice(cell),
        // Six digits behind the point, of which JSON's numbers do without zeros at the end.
        "time" | "interval" | "double" => {
            let zeros = cell.iter().rev().take_while(|byte| **byte == b'0').count();
            let short = cell.get(..cell.len() - zeros).unwrap_or(cell);
            line.extend_from_slice(short);
            if short.ends_with(b".") {
                line.push(b'0');
            }
        }
        _ if cell == EMPTY.as_bytes() => line.extend_from_slice(b"\"\""),
        _ => string(&unescaped(cell), line),
    }
}

/// Undoes `\\` and `\xNN`.
fn unescaped(cell: &[u8]) -> String {
    let mut bytes = Vec::with_capacity(cell.len());
    let mut rest = cell;
    while let Some((byte, behind)) = rest.split_first() {
        let hex = |at: usize| behind.get(at).and_then(|digit| (*digit as char).to_digit(16));
        rest = match (byte, behind.first()) {
            (b'\\', Some(b'\\')) => {
                bytes.push(b'\\');
                behind.get(1..).unwrap_or_default()
            }
            (b'\\', Some(b'x')) if let (Some(high), Some(low)) = (hex(1), hex(2)) => {
                bytes.push((high << 4 | low) as u8);
                behind.get(3..).unwrap_or_default()
            }
            _ => {
                bytes.push(*byte);
                behind
            }
        };
    }
    // It was text before its ASCII was escaped.
    String::from_utf8_lossy(&bytes).into_owned()
}

fn string(text: &str, line: &mut Vec<u8>) {
    // Writing to a Vec can't fail.
    let _ = serde_json::to_writer(line, text);
}

#[cfg(test)]
mod tests {
    use super::super::conn::COLUMNS;
    use super::super::text;
    use super::*;

    fn object(columns: &[(&str, &str)], cells: &str) -> String {
        let mut line = Vec::new();
        row(columns, cells.as_bytes(), &mut line);
        String::from_utf8(line).unwrap()
    }

    /// The same connection in both forms, as Zeek's own documentation has it ("Zeek Log Formats and Inspection"); but for the
    /// duration, which in JSON has digits there that are none of its own.
    #[test]
    fn the_documented_example() {
        let cells = "1591367999.305988\tCMdzit1AMNsmfAIiQc\t192.168.4.76\t36844\t192.168.4.1\t53\tudp\tdns\t0.066852\t62\t141\tSF\t-\t-\t0\tDd\t2\t118\t2\t197\t-";
        let expected = r#"{"ts":1591367999.305988,"uid":"CMdzit1AMNsmfAIiQc","id.orig_h":"192.168.4.76","id.orig_p":36844,"id.resp_h":"192.168.4.1","id.resp_p":53,"proto":"udp","service":"dns","duration":0.066852,"orig_bytes":62,"resp_bytes":141,"conn_state":"SF","missed_bytes":0,"history":"Dd","orig_pkts":2,"orig_ip_bytes":118,"resp_pkts":2,"resp_ip_bytes":197}"#;
        assert_eq!(object(COLUMNS, cells), expected);
    }

    #[test]
    fn values_of_every_kind() {
        let columns = [
            ("a", "bool"),
            ("b", "vector[interval]"),
            ("c", "set[string]"),
            ("d", "string"),
            ("e", "time"),
            ("f", "vector[string]"),
            ("g", "string"),
        ];
        let cells = "T\t1.500000,60.000000\t(empty)\t\\x2d\t0.000000\ta\\x2cb,\\\\x41,\\x28empty)\t(empty)";
        let expected =
            r#"{"a":true,"b":[1.5,60.0],"c":[],"d":"-","e":0.0,"f":["a,b","\\x41","(empty)"],"g":""}"#;
        assert_eq!(object(&columns, cells), expected);
        assert_eq!(object(&columns, "-\t-\t-\t-\t-\t-\t-"), "{}");
    }

    #[test]
    fn text_comes_out_as_it_went_in() {
        for nasty in ["a,b;c\"d\\e\tf\r\ng\0h\u{7f}ü=\u{202e}", "-", "(empty)", "\\x41", "", "\\"] {
            for (ty, in_list) in [("string", false), ("vector[string]", true)] {
                let mut cell = Vec::new();
                text::string(nasty, in_list, &mut cell);
                let json = object(&[("x", ty)], std::str::from_utf8(&cell).unwrap());
                let value: serde_json::Value = serde_json::from_str(&json).unwrap();
                let read = if in_list { &value["x"][0] } else { &value["x"] };
                // An empty text alone in a vector is written as the empty vector is.
                assert_eq!(read.as_str().unwrap_or_default(), nasty, "{json}");
            }
        }
    }
}
