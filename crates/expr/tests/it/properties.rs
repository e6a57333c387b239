//! What holds for every expression.

use daylight_expr::ast::{ArithmeticOp, CompareOp, Expr, Node, Quantifier, SetItem, SliceEnd, SliceRange};
use daylight_expr::{Span, compile, parse};
use proptest::prelude::*;

use crate::world::{World, dns, lists, tls};

fn node(expr: Expr) -> Node {
    Node { span: Span::default(), expr }
}

fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "protocol",
            "hostname",
            "src_ip",
            "dst_port",
            "dns.ttls",
            "risks",
            "payload",
            "start",
            "duration_s",
            "tls.resumed",
            "443",
            "0x1f",
            "1.5",
            "10.",
            ".5",
            "1e+5",
            "10.0.0.0/8",
            "2001:db8::/32",
            "::1",
            "::",
            "16:03",
            ":fc",
            "fc:",
            "true",
            "2024-01-01",
            "iec-104.type",
            "a-b",
            "nothing",
        ])
        .prop_map(str::to_owned),
        "[a-z][a-z0-9_.-]{0,8}[a-z0-9]".prop_filter("keyword", |w| {
            !w.contains("..") && parse(w).is_ok_and(|tree| tree.expr == Expr::Word(w.clone()))
        }),
    ]
}

fn range() -> impl Strategy<Value = SliceRange> {
    (
        -9..9_i32,
        prop_oneof![
            (1..9_u32).prop_map(SliceEnd::Length),
            Just(SliceEnd::Open),
            (0..9_i32).prop_map(SliceEnd::At),
        ],
    )
        .prop_map(|(start, end)| match end {
            // A range that is upside down is refused.
            SliceEnd::At(ahead) => SliceRange {
                start,
                end: SliceEnd::At(if start < 0 { (start + ahead).min(-1) } else { start + ahead }),
            },
            end => SliceRange { start, end },
        })
}

fn value() -> impl Strategy<Value = Node> {
    let leaf = prop_oneof![
        6 => word().prop_map(|w| node(Expr::Word(w))),
        2 => prop::collection::vec(any::<u8>(), 0..6).prop_map(|t| node(Expr::Text(t))),
        1 => "\\PC{0,6}".prop_map(|t| node(Expr::Text(t.into_bytes()))),
        1 => any::<u8>().prop_map(|c| node(Expr::Char(c))),
        1 => "[a-z][a-z0-9-]{0,5}".prop_map(|l| node(Expr::List(l))),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        let ops = prop::sample::select(vec![
            ArithmeticOp::BitAnd,
            ArithmeticOp::Add,
            ArithmeticOp::Sub,
            ArithmeticOp::Mul,
            ArithmeticOp::Div,
            ArithmeticOp::Rem,
        ]);
        let functions = prop::sample::select(vec!["lower", "len", "count", "string", "max", "abs", "what"]);
        prop_oneof![
            (ops, inner.clone(), inner.clone()).prop_map(|(op, a, b)| node(Expr::Arithmetic(
                op,
                a.into(),
                b.into()
            ))),
            inner.clone().prop_map(|a| node(Expr::Negative(a.into()))),
            (functions, prop::collection::vec(inner.clone(), 0..3))
                .prop_map(|(f, a)| node(Expr::Call(f.to_owned(), a))),
            (inner, prop::collection::vec(range(), 1..3)).prop_filter_map("no slice of these", |(a, r)| {
                // Characters and lists are never followed by a slice.
                (!matches!(a.expr, Expr::Char(_) | Expr::List(_))).then(|| node(Expr::Slice(a.into(), r)))
            }),
        ]
    })
}

fn test() -> impl Strategy<Value = Node> {
    let op = prop::sample::select(vec![
        CompareOp::AnyEq,
        CompareOp::AllEq,
        CompareOp::AnyNe,
        CompareOp::AllNe,
        CompareOp::Lt,
        CompareOp::Le,
        CompareOp::Gt,
        CompareOp::Ge,
    ]);
    let quantifier = || prop::sample::select(vec![None, None, Some(Quantifier::Any), Some(Quantifier::All)]);
    let item = prop_oneof![
        value().prop_map(SetItem::One),
        (value(), value()).prop_map(|(low, high)| SetItem::Range(low, high)),
    ];
    let leaf = prop_oneof![
        value(),
        (quantifier(), value(), prop::collection::vec((op, value()), 1..3)).prop_map(
            |(quantifier, first, rest)| node(Expr::Compare { quantifier, first: first.into(), rest })
        ),
        (quantifier(), value(), value()).prop_map(|(quantifier, left, right)| {
            node(Expr::Contains { quantifier, left: left.into(), right: right.into() })
        }),
        (quantifier(), value(), value()).prop_map(|(quantifier, left, right)| {
            node(Expr::Matches { quantifier, left: left.into(), right: right.into() })
        }),
        (quantifier(), any::<bool>(), value(), prop::collection::vec(item, 1..4)).prop_map(
            |(quantifier, negated, left, set)| node(Expr::In { quantifier, negated, left: left.into(), set })
        ),
    ];
    leaf.prop_recursive(4, 24, 3, |inner| {
        let several = || prop::collection::vec(inner.clone(), 2..4);
        prop_oneof![
            several().prop_map(|terms| node(Expr::And(terms))),
            several().prop_map(|terms| node(Expr::Or(terms))),
            several().prop_map(|terms| node(Expr::Xor(terms))),
            inner.clone().prop_map(|of| node(Expr::Not(of.into()))),
        ]
    })
}

/// Pieces of expressions in any order.
fn soup() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => word(),
        4 => prop::sample::select(vec![
            " ", " ", " == ", "!=", "===", "!==", "~=", "<", "<=", ">", ">=", "&&", " and ", "||", " or ", "^^", " xor ",
            "!", " not ", " in ", " contains ", " matches ", "~", "{", "}", "(", ")", "[", "]", "0:3", "[-1]", "..", ",",
            "\"a\"", "r\"a\"", "\"", "'a'", "'", "\\", "$blocked", "$", " any ", " all ", "lower(", "len(", "count(",
            "string(", "max(", "-", "+", "*", "/", "%", "&", "#", "@", "é", "\0", "\n",
        ]).prop_map(str::to_owned),
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

/// Compiles, and if it does, runs.
fn exercise(text: &str) {
    match compile(text, &World, &lists()) {
        Err(error) => {
            let span = error.span();
            assert!(span.start <= span.end && span.end <= text.len(), "{span:?} of {}", text.len());
            assert!(!error.report().is_empty());
        }
        Ok(program) => {
            let outcome = (program.matches(&tls()), program.matches(&dns()));
            let again = compile(&format!("not ({text})"), &World, &lists()).unwrap();
            assert_eq!((!again.matches(&tls()), !again.matches(&dns())), outcome, "{text}\n{program}");
            let _ = program.to_string();
            for warning in program.warnings() {
                let _ = warning.report(text);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_reads_back(tree in test()) {
        let text = tree.to_string();
        match parse(&text) {
            Ok(again) => prop_assert_eq!(&again, &tree, "{}", text),
            Err(error) => prop_assert!(false, "{}", error.report()),
        }
        exercise(&text);
    }

    #[test]
    fn any_text_compiles_or_is_refused(text in "\\PC{0,60}") {
        exercise(&text);
    }

    #[test]
    fn any_bytes_compile_or_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        exercise(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn any_pieces_compile_or_are_refused(text in soup()) {
        exercise(&text);
    }
}
