//! The examples of the guide compile, without warnings.

use daylight_expr::compile;

use crate::world::{World, lists};

#[test]
fn examples_compile() {
    let guide = include_str!("../../../../docs/guide/expressions.md");
    let (_, table) = guide.split_once("## Ten examples").unwrap();
    let (table, _) = table.split_once("## ").unwrap();
    let examples: Vec<&str> = table
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` |"))
        .map(|(text, _)| text)
        .collect();
    assert_eq!(examples.len(), 10, "the guide promises ten");
    for text in examples {
        let program = compile(text, &World, &lists()).unwrap_or_else(|error| panic!("{}", error.report()));
        assert_eq!(program.warnings(), [], "{text}");
    }
}
