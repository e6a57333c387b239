//! What depends on the row: fields, functions, arithmetic, slices, and of which kind it is.

use super::constant::Const;
use super::{Checker, is_logical, not_a_value};
use crate::ast::{ArithmeticOp, Expr, Node, SliceEnd, SliceRange};
use crate::program::Operand;
use crate::{Error, ErrorKind, FieldType, Kind, Span, nearest};

/// The functions, and how they are shown in an error.
const FUNCTIONS: [(&str, &str); 8] = [
    ("lower", "lower(text)"),
    ("upper", "upper(text)"),
    ("len", "len(text or bytes)"),
    ("count", "count(field)"),
    ("string", "string(value)"),
    ("max", "max(number, …)"),
    ("min", "min(number, …)"),
    ("abs", "abs(number)"),
];

/// Something that depends on the row.
#[derive(Clone, Debug)]
pub(crate) struct Value {
    pub(crate) kind: Kind,
    /// Set if it is a field and nothing else.
    pub(crate) field: Option<FieldType>,
    /// Where it is in the operands, if it is more than a field.
    operand: Option<u32>,
    /// For whole numbers: the least that it can be, if it cannot be anything.
    pub(crate) least: Option<i128>,
    /// For text: `lower` or `upper`, if that made it.
    pub(crate) case: Option<Case>,
    /// The field, if it is `lower` or `upper` of a field and nothing else.
    pub(crate) folded: Option<(FieldType, Case)>,
    /// For slices: the length in characters or bytes that it always has.
    pub(crate) length: Option<usize>,
    /// How many fields with several values are in it.
    pub(crate) lists: usize,
    /// As it was written, if not long.
    pub(crate) text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Case {
    Lower,
    Upper,
}

/// A value or a constant.
#[derive(Clone, Debug)]
pub(crate) enum Typed {
    Value(Value),
    Const(Const),
}

/// What a constant is read as.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Expected {
    Kind(Kind),
    /// A whole number or a real one.
    Number,
}

impl Checker<'_> {
    /// True if it depends on the row: there is a field or a function in it.
    pub(super) fn has_value(&self, node: &Node) -> bool {
        match &node.expr {
            Expr::Word(word) => self.field(word).is_some(),
            Expr::Call(..) => true,
            Expr::Negative(of) | Expr::Slice(of, _) => self.has_value(of),
            Expr::Arithmetic(_, left, right) => self.has_value(left) || self.has_value(right),
            _ => false,
        }
    }

    /// The index of its operand, made if it is not there yet.
    pub(super) fn operand_of(&mut self, value: &Value) -> u32 {
        match (value.operand, value.field) {
            (Some(operand), _) => operand,
            (None, field) => self.push(Operand::Field(field.map_or(u32::MAX, |field| field.id))),
        }
    }

    fn push(&mut self, operand: Operand) -> u32 {
        self.operands.push(operand);
        // An expression of 64 KiB has far fewer parts.
        u32::try_from(self.operands.len() - 1).unwrap_or(u32::MAX)
    }

    /// A value that an operand of its own makes.
    fn made(&mut self, node: &Node, kind: Kind, lists: usize, operand: Operand) -> Value {
        let operand = Some(self.push(operand));
        Value {
            kind,
            field: None,
            operand,
            least: None,
            case: None,
            folded: None,
            length: None,
            lists,
            text: shown(node),
        }
    }

    /// Checks something that depends on the row ([`has_value`](Self::has_value)).
    pub(super) fn value(&mut self, node: &Node) -> Result<Value, Error> {
        match &node.expr {
            Expr::Word(word) => {
                let Some(field) = self.field(word) else { return Err(self.unknown_field(node.span, word)) };
                self.uses(field, word);
                Ok(Value {
                    kind: field.kind,
                    field: Some(field),
                    operand: None,
                    least: (field.kind == Kind::Uint).then_some(0),
                    case: None,
                    folded: None,
                    length: None,
                    lists: usize::from(field.list),
                    text: shown(node),
                })
            }
            Expr::Call(name, arguments) => self.call(node, name, arguments),
            Expr::Negative(of) => {
                let value = self.subject(of)?;
                self.number(&value, of)?;
                let operand = self.operand_of(&value);
                Ok(self.made(node, value.kind, value.lists, Operand::Negative(operand)))
            }
            Expr::Slice(of, ranges) => self.slice(node, of, ranges),
            Expr::Arithmetic(op, left, right) => self.arithmetic(node, *op, left, right),
            _ if is_logical(node) => Err(not_a_value(node)),
            _ => Err(self.constant(node)),
        }
    }

    fn number(&self, value: &Value, node: &Node) -> Result<(), Error> {
        if value.kind.is_number() { Ok(()) } else { Err(wrong_kind(value, node, "a number is expected")) }
    }

    fn slice(&mut self, node: &Node, of: &Node, ranges: &[SliceRange]) -> Result<Value, Error> {
        let value = self.subject(of)?;
        if !value.kind.is_octets() {
            return Err(wrong_kind(&value, of, "only text and bytes have slices")
                .help(format!("string({}) makes it text", value.text)));
        }
        let operand = self.operand_of(&value);
        let text = value.kind == Kind::Str;
        let slice = Operand::Slice { of: operand, text, ranges: ranges.into() };
        let length = ranges.iter().try_fold(0_usize, |sum, range| {
            let length = match range.end {
                SliceEnd::Length(n) => n as usize,
                SliceEnd::At(last) if (range.start < 0) == (last < 0) => {
                    usize::try_from(last - range.start).ok()? + 1
                }
                _ => return None,
            };
            sum.checked_add(length)
        });
        let case = value.case;
        Ok(Value { length, case, ..self.made(node, value.kind, value.lists, slice) })
    }

    fn call(&mut self, node: &Node, name: &str, arguments: &[Node]) -> Result<Value, Error> {
        let Some((_, usage)) = FUNCTIONS.iter().find(|(known, _)| *known == name) else {
            let span = Span::new(node.span.start, node.span.start + name.len());
            let error = Error::new(span, ErrorKind::UnknownFunction(name.to_owned()));
            let names = FUNCTIONS.map(|(name, _)| name);
            // `length` and `tolower` are further from `len` and `lower` than misspellings are.
            let part = names.into_iter().find(|known| name.contains(known));
            return Err(match part.or_else(|| nearest(name, names)) {
                Some(near) => error.label(format!("did you mean `{near}`?")),
                None => error.help(format!("the functions are {}", names.join(", "))),
            });
        };
        let several = matches!(name, "max" | "min");
        if arguments.is_empty() || (arguments.len() > 1 && !several) {
            let message = format!("`{name}` is given {} values", arguments.len());
            return Err(Error::new(node.span, ErrorKind::Kind(message)).help(format!("write {usage}")));
        }
        if several {
            return self.extreme(node, name == "max", arguments);
        }
        let argument = &arguments[0];
        let value = self.subject(argument)?;
        if name == "count" {
            let Some(field) = value.field else {
                return Err(Error::new(
                    argument.span,
                    ErrorKind::Kind("`count` counts the values of a field".into()),
                )
                .help(format!("write {usage}")));
            };
            return Ok(Value { least: Some(1), ..self.made(node, Kind::Uint, 0, Operand::Count(field.id)) });
        }
        let operand = self.operand_of(&value);
        let (lists, field) = (value.lists, value.field);
        let refused = |expected: &str| Err(wrong_kind(&value, argument, expected));
        match name {
            "lower" | "upper" if value.kind != Kind::Str => refused("text is expected"),
            "lower" => {
                let made = self.made(node, Kind::Str, lists, Operand::Lower(operand));
                Ok(Value { case: Some(Case::Lower), folded: field.map(|field| (field, Case::Lower)), ..made })
            }
            "upper" => {
                let made = self.made(node, Kind::Str, lists, Operand::Upper(operand));
                Ok(Value { case: Some(Case::Upper), folded: field.map(|field| (field, Case::Upper)), ..made })
            }
            "len" if !value.kind.is_octets() => refused("text or bytes are expected"),
            "len" => {
                let made = self.made(node, Kind::Uint, lists, Operand::Len(operand));
                Ok(Value { least: Some(0), ..made })
            }
            "string" if value.kind == Kind::Str => refused("it is text already"),
            "string" => Ok(self.made(node, Kind::Str, lists, Operand::Text(operand, value.kind))),
            _ => {
                self.number(&value, argument)?;
                let made = self.made(node, value.kind, lists, Operand::Abs(operand));
                Ok(Value { least: (value.kind == Kind::Uint).then_some(0), ..made })
            }
        }
    }

    fn extreme(&mut self, node: &Node, greatest: bool, arguments: &[Node]) -> Result<Value, Error> {
        let (mut of, mut kind, mut some) = (Vec::new(), Kind::Uint, false);
        for argument in arguments {
            if self.has_value(argument) {
                let value = self.value(argument)?;
                self.number(&value, argument)?;
                if value.kind == Kind::Float {
                    kind = Kind::Float;
                }
                some = true;
                of.push(self.operand_of(&value));
            } else {
                let constant = self.literal(argument, Expected::Number, "the function", "is given to")?;
                if matches!(constant, Const::Float(_)) {
                    kind = Kind::Float;
                }
                of.push(self.push(constant.operand()));
            }
        }
        if !some {
            return Err(self.constant(node));
        }
        // The result is one number, however many values there were.
        Ok(self.made(node, kind, 0, Operand::Extreme { greatest, of: of.into() }))
    }

    fn arithmetic(
        &mut self,
        node: &Node,
        op: ArithmeticOp,
        left: &Node,
        right: &Node,
    ) -> Result<Value, Error> {
        // The side that has a field says how a constant on the other is read.
        let (a, b) = if self.has_value(left) {
            let a = self.value(left)?;
            let b = self.beside(right, &a, op)?;
            (Typed::Value(a), b)
        } else {
            let b = self.value(right)?;
            let a = self.beside(left, &b, op)?;
            (a, Typed::Value(b))
        };
        let (a_kind, b_kind) = (a.kind(), b.kind());
        let lists = a.lists() + b.lists();
        if lists > crate::LIST_FIELDS_MAX {
            let message =
                format!("more than {} fields with several values in one calculation", crate::LIST_FIELDS_MAX);
            return Err(Error::new(node.span, ErrorKind::Limit(message)));
        }
        if let (ArithmeticOp::Div | ArithmeticOp::Rem, Typed::Const(Const::Int(0))) = (op, &b) {
            return Err(Error::new(right.span, ErrorKind::Range("a division by zero has no result".into())));
        }
        let no = |help: &str| {
            let message = format!("`{}` has no meaning between {a_kind} and {b_kind}", op.symbol());
            Err(Error::new(node.span, ErrorKind::Kind(message)).help(help))
        };
        use ArithmeticOp as Op;
        match (a_kind, op, b_kind) {
            (Kind::Uint, _, Kind::Uint) => {
                let kind = Kind::Uint;
                let (a, b) = (self.typed_operand(&a), self.typed_operand(&b));
                Ok(self.made(node, kind, lists, Operand::Arithmetic(op, a, b)))
            }
            (Kind::Uint | Kind::Float, Op::BitAnd, Kind::Uint | Kind::Float) => no("`&` needs whole numbers"),
            (Kind::Uint | Kind::Float, _, Kind::Uint | Kind::Float) => {
                let (a, b) = (self.typed_operand(&a), self.typed_operand(&b));
                Ok(self.made(node, Kind::Float, lists, Operand::Arithmetic(op, a, b)))
            }
            (Kind::Bytes, Op::BitAnd, Kind::Bytes) => {
                let (a, b) = (self.typed_operand(&a), self.typed_operand(&b));
                Ok(self.made(node, Kind::Bytes, lists, Operand::Arithmetic(op, a, b)))
            }
            (Kind::Time, Op::Sub, Kind::Time) => {
                let (a, b) = (self.typed_operand(&a), self.typed_operand(&b));
                Ok(self.made(node, Kind::Float, lists, Operand::Since(a, b)))
            }
            (Kind::Time, Op::Add | Op::Sub, Kind::Uint | Kind::Float) => {
                let (time, seconds) = (self.typed_operand(&a), self.typed_operand(&b));
                Ok(self.made(
                    node,
                    Kind::Time,
                    lists,
                    Operand::Shift { time, seconds, earlier: op == Op::Sub },
                ))
            }
            (Kind::Uint | Kind::Float, Op::Add, Kind::Time) => {
                let (seconds, time) = (self.typed_operand(&a), self.typed_operand(&b));
                Ok(self.made(node, Kind::Time, lists, Operand::Shift { time, seconds, earlier: false }))
            }
            (Kind::Time, ..) | (.., Kind::Time) => no(
                "times can be subtracted from one another, and numbers of seconds added to and subtracted from them",
            ),
            (Kind::Bytes | Kind::Str, Op::Add, _) => no("texts are not put together; compare their parts"),
            (Kind::Bytes, ..) => no("the only operator on bytes is `&`, with as many bytes on its right"),
            _ => no("arithmetic is for numbers and times"),
        }
    }

    /// The other operand of a calculation with `value`.
    fn beside(&mut self, node: &Node, value: &Value, op: ArithmeticOp) -> Result<Typed, Error> {
        if self.has_value(node) {
            return Ok(Typed::Value(self.value(node)?));
        }
        let expected = match (value.kind, &node.expr) {
            (Kind::Time, Expr::Text(_)) if op == ArithmeticOp::Sub => Expected::Kind(Kind::Time),
            (Kind::Bytes, _) => Expected::Kind(Kind::Bytes),
            _ => Expected::Number,
        };
        Ok(Typed::Const(self.literal(node, expected, &value.text, "cannot be combined with")?))
    }

    fn typed_operand(&mut self, typed: &Typed) -> u32 {
        match typed {
            Typed::Value(value) => self.operand_of(value),
            Typed::Const(constant) => self.push(constant.clone().operand()),
        }
    }

    /// What `value` is compared with: another value, or a constant that is read as of its kind.
    pub(super) fn like(&mut self, node: &Node, value: &Value) -> Result<Typed, Error> {
        if self.has_value(node) {
            return Ok(Typed::Value(self.value(node)?));
        }
        Ok(Typed::Const(self.constant_like(node, value)?))
    }
}

impl Case {
    /// True if a text is all of that case already.
    pub(crate) fn holds(self, text: &[u8]) -> bool {
        match self {
            Self::Lower => !text.iter().any(u8::is_ascii_uppercase),
            Self::Upper => !text.iter().any(u8::is_ascii_lowercase),
        }
    }
}

impl Typed {
    fn kind(&self) -> Kind {
        match self {
            Self::Value(value) => value.kind,
            Self::Const(constant) => constant.kind(),
        }
    }

    fn lists(&self) -> usize {
        match self {
            Self::Value(value) => value.lists,
            Self::Const(_) => 0,
        }
    }
}

fn wrong_kind(value: &Value, node: &Node, expected: &str) -> Error {
    let message = format!("`{}` is {}", value.text, value.kind);
    Error::new(node.span, ErrorKind::Kind(message)).label(expected)
}

/// The text of a node, cut if it is long.
fn shown(node: &Node) -> String {
    const CHARS: usize = 48;
    let text = node.to_string();
    match text.char_indices().nth(CHARS) {
        None => text,
        Some((at, _)) => format!("{}…", &text[..at]),
    }
}
