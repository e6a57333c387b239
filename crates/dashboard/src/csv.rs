//! Tables as CSV (RFC 4180), such that no spreadsheet takes a host's name for a formula.

use serde_json::Value;

use crate::text::csv_cell;

/// A header and rows.
pub(crate) fn write(columns: &[&str], rows: impl Iterator<Item = Vec<Value>>) -> String {
    let mut out = line(columns.iter().map(|name| csv_cell(name)));
    for row in rows {
        out.push_str(&line(row.iter().map(cell)));
    }
    out
}

fn line(cells: impl Iterator<Item = String>) -> String {
    let mut line = cells.collect::<Vec<_>>().join(",");
    line.push_str("\r\n");
    line
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        // A number can't be a formula, whatever its sign.
        Value::Number(number) => number.to_string(),
        Value::Bool(value) => value.to_string(),
        Value::String(text) => csv_cell(text),
        other => csv_cell(&other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn formulas_are_text() {
        let rows = vec![
            vec![json!("=1+1"), json!(-5), json!(null)],
            vec![json!("a,\"b\"\n"), json!(1.5), json!(["x"])],
        ];
        assert_eq!(
            write(&["name", "n", "x"], rows.into_iter()),
            "name,n,x\r\n'=1+1,-5,\r\n\"a,\"\"b\"\"\\u{a}\",1.5,\"[\"\"x\"\"]\"\r\n"
        );
    }
}
