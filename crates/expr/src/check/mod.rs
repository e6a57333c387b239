//! The type checker: a syntax tree to tests of known kinds, or an error that says what to do.

mod constant;
mod doubt;
mod value;

use std::collections::{BTreeMap, BTreeSet};

use memchr::memmem::Finder;
use regex::bytes::RegexBuilder;

use crate::ast::{CompareOp, Expr, Node, Quantifier, SetItem};
use crate::program::{Check, Operand, Relation, Test};
use crate::{
    DEPTH_MAX, Error, ErrorKind, FieldType, Kind, Lists, PATTERN_BYTES_MAX, PATTERNS_MAX, Schema, Span,
    Warning, nearest,
};
use value::{Typed, Value};

/// A checked expression.
#[derive(Clone, Debug)]
pub(crate) enum Logic {
    Or(Vec<Self>),
    Xor(Vec<Self>),
    And(Vec<Self>),
    Not(Box<Self>),
    /// With its text, for the program's listing.
    Test(Test, String),
}

pub(crate) struct Checker<'a> {
    schema: &'a dyn Schema,
    lists: &'a dyn Lists,
    pub(crate) operands: Vec<Operand>,
    /// With their names as they were written first.
    pub(crate) fields: BTreeMap<u32, (FieldType, Box<str>)>,
    /// The lists' names.
    pub(crate) used: BTreeSet<Box<str>>,
    pub(crate) warnings: Vec<Warning>,
    patterns: usize,
}

impl<'a> Checker<'a> {
    pub(crate) fn new(schema: &'a dyn Schema, lists: &'a dyn Lists) -> Self {
        Self {
            schema,
            lists,
            operands: Vec::new(),
            fields: BTreeMap::new(),
            used: BTreeSet::new(),
            warnings: Vec::new(),
            patterns: 0,
        }
    }

    fn warn(&mut self, span: Span, message: impl Into<String>, help: impl Into<String>) {
        self.warnings.push(Warning { span, message: message.into(), help: help.into() });
    }

    /// Checks something that holds or doesn't.
    pub(crate) fn logic(&mut self, node: &Node) -> Result<Logic, Error> {
        match &node.expr {
            Expr::Or(terms) => {
                let logics = self.terms(terms)?;
                self.doubt_or(terms, &logics);
                Ok(Logic::Or(logics))
            }
            Expr::Xor(terms) => Ok(Logic::Xor(self.terms(terms)?)),
            Expr::And(terms) => {
                let logics = self.terms(terms)?;
                self.doubt_and(terms, &logics);
                Ok(Logic::And(logics))
            }
            Expr::Not(of) => Ok(Logic::Not(self.logic(of)?.into())),
            Expr::Compare { quantifier, first, rest } => {
                let mut left = first.as_ref();
                let mut links = Vec::with_capacity(rest.len());
                for (op, right) in rest {
                    links.push(self.compare(*quantifier, *op, left, right)?);
                    left = right;
                }
                Ok(if links.len() == 1 { links.remove(0) } else { Logic::And(links) })
            }
            Expr::Contains { quantifier, left, right } => self.contains(*quantifier, left, right, node),
            Expr::Matches { quantifier, left, right } => self.matches(*quantifier, left, right, node),
            Expr::In { quantifier, negated, left, set } => {
                // Without a quantifier `not in` is the negation of `in`, and so holds where the field is absent.
                let negate = *negated && quantifier.is_some();
                let value = self.subject(left)?;
                let check = self.set(&value, set)?;
                let all = *quantifier == Some(Quantifier::All);
                let mut text = node.clone();
                if let Expr::In { negated, .. } = &mut text.expr {
                    *negated = negate;
                }
                let test = Logic::Test(self.test(&value, check, negate, all), text.to_string());
                Ok(if *negated && !negate { Logic::Not(test.into()) } else { test })
            }
            Expr::Word(word) => self.existence(node, word),
            Expr::Slice(..) => {
                let value = self.subject(node)?;
                let operand = self.operand_of(&value);
                Ok(Logic::Test(Test::Present(operand), node.to_string()))
            }
            Expr::Arithmetic(..) | Expr::Negative(_) => {
                if !self.has_value(node) {
                    return Err(self.constant(node));
                }
                let value = self.subject(node)?;
                if value.kind == Kind::Time {
                    return Err(Error::new(node.span, ErrorKind::Kind("a time alone is no test".into()))
                        .help("compare it with another time"));
                }
                let operand = self.operand_of(&value);
                Ok(Logic::Test(Test::NonZero(operand), node.to_string()))
            }
            Expr::Call(name, _) => {
                self.subject(node)?;
                Err(Error::new(node.span, ErrorKind::Kind(format!("what {name}() returns is no test")))
                    .help("compare it with something"))
            }
            Expr::List(name) => {
                Err(Error::new(node.span, ErrorKind::Kind(format!("the list `${name}` alone is no test")))
                    .help(format!("write, for example, hostname in ${name}")))
            }
            Expr::Text(_) | Expr::Char(_) => Err(self.constant(node)),
        }
    }

    fn terms(&mut self, terms: &[Node]) -> Result<Vec<Logic>, Error> {
        terms.iter().map(|term| self.logic(term)).collect()
    }

    /// A word where a test belongs asks whether the field is there.
    fn existence(&mut self, node: &Node, word: &str) -> Result<Logic, Error> {
        let Some(field) = self.field(word) else {
            if self.is_literal(word) {
                return Err(self.constant(node));
            }
            return Err(self.unknown_field(node.span, word));
        };
        self.uses(field, word);
        if field.kind == Kind::Bool {
            let message = format!("`{word}` alone asks whether the field is there, not whether it is true");
            self.warn(node.span, message, format!("write {word} == true"));
        }
        Ok(Logic::Test(Test::Exists(field.id), node.to_string()))
    }

    fn uses(&mut self, field: FieldType, word: &str) {
        let name = word.strip_prefix('.').unwrap_or(word);
        self.fields.entry(field.id).or_insert_with(|| (field, name.into()));
    }

    /// The field of that name. A dot at the front says that the word is meant as a field.
    fn field(&self, word: &str) -> Option<FieldType> {
        self.schema.field(word).or_else(|| self.schema.field(word.strip_prefix('.')?))
    }

    fn unknown_field(&self, span: Span, word: &str) -> Error {
        let name = word.strip_prefix('.').unwrap_or(word);
        let alias = self.schema.alias(name).filter(|name| self.schema.field(name).is_some());
        let near = alias.or_else(|| nearest(name, self.schema.names())).map(str::to_owned);
        let error =
            Error::new(span, ErrorKind::UnknownField { name: name.to_owned(), nearest: near.clone() });
        match near {
            Some(name) => error.label(format!("did you mean `{name}`?")),
            None => error.label("not a field").help("text belongs in double quotes"),
        }
    }

    /// An error for a test that depends on nothing.
    fn constant(&self, node: &Node) -> Error {
        Error::new(node.span, ErrorKind::Constant("this doesn't depend on any field".into()))
            .label("always the same")
            .help("compare a field with it, such as dst_port == 443")
    }

    /// If one of the sides is a misspelt field, that is the mistake, whatever else is wrong.
    fn no_field(&self, nodes: &[&Node], whole: Span) -> Error {
        for node in nodes {
            if let Some((span, word)) = self.suspect(node) {
                return self.unknown_field(span, word);
            }
        }
        let node = Node { span: whole, expr: Expr::Char(0) };
        self.constant(&node)
    }

    /// The first word in it that looks like a name and is neither a field nor a constant.
    fn suspect<'n>(&self, node: &'n Node) -> Option<(Span, &'n str)> {
        match &node.expr {
            Expr::Word(word) if self.field(word).is_none() && !self.is_literal(word) => {
                Some((node.span, word))
            }
            Expr::Negative(of) | Expr::Slice(of, _) => self.suspect(of),
            Expr::Arithmetic(_, left, right) => self.suspect(left).or_else(|| self.suspect(right)),
            Expr::Call(_, arguments) => arguments.iter().find_map(|argument| self.suspect(argument)),
            _ => None,
        }
    }

    /// Checks the side of a test that must depend on a field.
    fn subject(&mut self, node: &Node) -> Result<Value, Error> {
        if !self.has_value(node) {
            return Err(match self.suspect(node) {
                Some((span, word)) => self.unknown_field(span, word),
                None if is_logical(node) => not_a_value(node),
                None => Error::new(node.span, ErrorKind::Constant("a field is expected here".into()))
                    .label("always the same"),
            });
        }
        self.value(node)
    }

    fn compare(
        &mut self,
        quantifier: Option<Quantifier>,
        op: CompareOp,
        left: &Node,
        right: &Node,
    ) -> Result<Logic, Error> {
        let span = left.span.to(right.span);
        let text = Expr::Compare { quantifier, first: left.clone().into(), rest: vec![(op, right.clone())] };
        let text = Node { span, expr: text }.to_string();
        let (relation, negate, all) = match op {
            CompareOp::AnyEq => (Relation::Eq, false, false),
            CompareOp::AllEq => (Relation::Eq, false, true),
            CompareOp::AnyNe => (Relation::Eq, true, false),
            CompareOp::AllNe => (Relation::Eq, true, true),
            CompareOp::Lt => (Relation::Lt, false, false),
            CompareOp::Le => (Relation::Le, false, false),
            CompareOp::Gt => (Relation::Gt, false, false),
            CompareOp::Ge => (Relation::Ge, false, false),
        };
        let all = quantifier.map_or(all, |quantifier| quantifier == Quantifier::All);
        let (subject, other, relation) = match (self.has_value(left), self.has_value(right)) {
            (false, false) if is_logical(left) => return Err(not_a_value(left)),
            (false, false) if is_logical(right) => return Err(not_a_value(right)),
            (false, false) => return Err(self.no_field(&[left, right], span)),
            (true, _) => (left, right, relation),
            (false, true) => (right, left, relation.flipped()),
        };
        let value = self.value(subject)?;
        if let Expr::List(name) = &other.expr {
            return Err(Error::new(other.span, ErrorKind::Kind(format!("`${name}` is a list, not a value")))
                .help(format!("write {} in ${name}", value.text)));
        }
        let test = match self.like(other, &value)? {
            Typed::Const(constant) => {
                let check = self.relation_check(&value, relation, constant, other, span, negate)?;
                self.test(&value, check, negate, all)
            }
            Typed::Value(other_value) => {
                self.comparable(&value, &other_value, other.span, span)?;
                if value.kind == Kind::Bool && relation != Relation::Eq {
                    return Err(unordered(&value, span));
                }
                let (left, right) = (self.operand_of(&value), self.operand_of(&other_value));
                Test::Pair { relation, left, right, negate, all }
            }
        };
        Ok(Logic::Test(test, text))
    }

    /// Two things that depend on the row can be compared if they are of one kind, or both numbers.
    fn comparable(&self, left: &Value, right: &Value, at: Span, whole: Span) -> Result<(), Error> {
        if left.kind != right.kind && !(left.kind.is_number() && right.kind.is_number()) {
            let message = format!(
                "`{}` is {} and `{}` is {}: they cannot be compared",
                left.text, left.kind, right.text, right.kind
            );
            return Err(Error::new(at, ErrorKind::Kind(message)).label(format!("this is {}", right.kind)));
        }
        if left.lists + right.lists > crate::LIST_FIELDS_MAX {
            let message =
                format!("more than {} fields with several values in one comparison", crate::LIST_FIELDS_MAX);
            return Err(
                Error::new(whole, ErrorKind::Limit(message)).help("split it into several comparisons")
            );
        }
        Ok(())
    }

    /// A test of a value against constants.
    fn test(&mut self, value: &Value, check: Check, negate: bool, all: bool) -> Test {
        match (value.field, value.folded) {
            (Some(field), _) => Test::Field { field: field.id, check, negate, all },
            // `lower(x) == "y"` asks for no text to be made, if "y" is all lower case.
            (None, Some((field, case))) if matches!(&check, Check::Octets(Relation::Eq, text) if case.holds(text)) =>
            {
                let check =
                    if let Check::Octets(_, text) = check { Check::OctetsFolded(text) } else { check };
                Test::Field { field: field.id, check, negate, all }
            }
            _ => Test::Operand { operand: self.operand_of(value), check, negate, all },
        }
    }

    fn contains(
        &mut self,
        quantifier: Option<Quantifier>,
        left: &Node,
        right: &Node,
        node: &Node,
    ) -> Result<Logic, Error> {
        let value = self.subject(left)?;
        self.octets(&value, left, "contains")?;
        let all = quantifier == Some(Quantifier::All);
        let test = match self.like(right, &value)? {
            Typed::Const(constant) => {
                let needle = constant.octets();
                if needle.is_empty() {
                    self.warn(
                        right.span,
                        "every text contains the empty text",
                        format!("write {} to ask whether it is there", value.text),
                    );
                }
                self.doubt_case(&value, &needle, right.span, true);
                self.test(&value, Check::Contains(Finder::new(&*needle).into_owned().into()), false, all)
            }
            Typed::Value(needle) => {
                self.comparable(&value, &needle, right.span, node.span)?;
                let (left, right) = (self.operand_of(&value), self.operand_of(&needle));
                Test::Pair { relation: Relation::Contains, left, right, negate: false, all }
            }
        };
        Ok(Logic::Test(test, node.to_string()))
    }

    fn matches(
        &mut self,
        quantifier: Option<Quantifier>,
        left: &Node,
        right: &Node,
        node: &Node,
    ) -> Result<Logic, Error> {
        let value = self.subject(left)?;
        self.octets(&value, left, "matches")?;
        let Expr::Text(pattern) = &right.expr else {
            return Err(Error::new(
                right.span,
                ErrorKind::Kind("`matches` needs a pattern in double quotes".into()),
            )
            .help("for example: hostname matches \"^www\\\\.\", or r\"^www\\.\""));
        };
        let refused = |message: String| Error::new(right.span, ErrorKind::Pattern(message));
        self.patterns += 1;
        if self.patterns > PATTERNS_MAX {
            let message = format!("more than {PATTERNS_MAX} patterns");
            return Err(Error::new(right.span, ErrorKind::Limit(message)).help("join patterns by `|`"));
        }
        let pattern = std::str::from_utf8(pattern).map_err(|_| refused("it is not UTF-8".into()))?;
        let regex = RegexBuilder::new(pattern)
            .case_insensitive(true)
            .unicode(false)
            .size_limit(PATTERN_BYTES_MAX)
            .dfa_size_limit(PATTERN_BYTES_MAX)
            .nest_limit(DEPTH_MAX as u32)
            .build()
            .map_err(|error| match error {
                regex::Error::CompiledTooBig(_) => refused("it takes too much memory".into())
                    .help("repeat less: x{1,1000} is a thousand times x"),
                // The last line of a syntax error says what it is; the others draw the pattern.
                error => {
                    let text = error.to_string();
                    let last = text.lines().last().unwrap_or_default();
                    refused(last.trim_start_matches("error: ").to_owned())
                }
            })?;
        let all = quantifier == Some(Quantifier::All);
        let test = self.test(&value, Check::Matches(regex.into()), false, all);
        Ok(Logic::Test(test, node.to_string()))
    }

    /// `contains` and `matches` look into text and bytes only.
    fn octets(&self, value: &Value, node: &Node, op: &str) -> Result<(), Error> {
        if value.kind.is_octets() {
            return Ok(());
        }
        let message = format!("`{}` is {}, and `{op}` looks into text or bytes", value.text, value.kind);
        let help = match (value.kind, op) {
            (Kind::Ip, "contains") => format!("to ask for a network: {} == 10.0.0.0/8", value.text),
            _ => format!("to look into what it is written as: string({}) {op} …", value.text),
        };
        Err(Error::new(node.span, ErrorKind::Kind(message))
            .label(format!("this is {}", value.kind))
            .help(help))
    }

    /// What a set compiles to for values of that kind.
    fn set(&mut self, value: &Value, items: &[SetItem]) -> Result<Check, Error> {
        let mut checks = Vec::new();
        let mut ranges = Vec::new();
        for item in items {
            match item {
                SetItem::One(Node { expr: Expr::List(name), span }) => {
                    let Some(list) = self.lists.list(name) else {
                        let error = Error::new(*span, ErrorKind::UnknownList(name.clone()));
                        return Err(match nearest(name, self.lists.names()) {
                            Some(near) => error.label(format!("did you mean `${near}`?")),
                            None => error,
                        });
                    };
                    if list.kind() != value.kind {
                        let message =
                            format!("`{}` is {}, and `${name}` is {}", value.text, value.kind, list.noun());
                        return Err(Error::new(*span, ErrorKind::Kind(message)).label(list.noun()));
                    }
                    self.used.insert(name.as_str().into());
                    checks.push(Check::List(list));
                }
                SetItem::One(node) => {
                    let constant = self.constant_like(node, value)?;
                    ranges.push((constant.clone(), constant));
                }
                SetItem::Range(low, high) => {
                    let range = (self.constant_like(low, value)?, self.constant_like(high, value)?);
                    constant::right_way_up(&range, low.span.to(high.span))?;
                    ranges.push(range);
                }
            }
        }
        constant::set_checks(value.kind, ranges, &mut checks);
        Ok(if checks.len() == 1 { checks.remove(0) } else { Check::Any(checks.into()) })
    }
}

/// A test, not a value.
fn is_logical(node: &Node) -> bool {
    matches!(
        node.expr,
        Expr::Or(_)
            | Expr::Xor(_)
            | Expr::And(_)
            | Expr::Not(_)
            | Expr::Compare { .. }
            | Expr::Contains { .. }
            | Expr::Matches { .. }
            | Expr::In { .. }
    )
}

fn not_a_value(node: &Node) -> Error {
    Error::new(node.span, ErrorKind::Kind("a test is not a value".into()))
        .label("this holds or it doesn't")
        .help("join tests by `and`, `or`, `xor` and `not`")
}

fn unordered(value: &Value, span: Span) -> Error {
    let message = format!("`{}` is {}, which has no order", value.text, value.kind);
    Error::new(span, ErrorKind::Kind(message)).help("only == and != make sense here")
}
