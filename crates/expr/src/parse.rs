//! Tokens to a syntax tree: a Pratt parser with Wireshark's precedences.

use crate::ast::{Expr, Node, Quantifier, SetItem, power};
use crate::lex::{Lexer, Token, keyword};
use crate::{DEPTH_MAX, Error, ErrorKind, INPUT_LEN_MAX, Span};

/// Parses an expression without asking what its words mean. [`compile`](crate::compile) does both.
///
/// # Errors
/// If the text is no expression, or is too long or too deeply nested.
pub fn parse(input: &str) -> Result<Node, Error> {
    if input.len() > INPUT_LEN_MAX {
        let message = format!("an expression of {} bytes is too long", input.len());
        return Err(Error::new(Span::new(0, 0), ErrorKind::Limit(message)).help(format!(
            "at most {INPUT_LEN_MAX} bytes are read; put long sets into a list and write `in $name`"
        )));
    }
    Parser { lexer: Lexer::new(input), peeked: None, depth: 0 }.whole().map_err(|error| error.in_text(input))
}

type Spanned<'a> = (Token<'a>, Span);

struct Parser<'a> {
    lexer: Lexer<'a>,
    peeked: Option<Spanned<'a>>,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn peek(&mut self) -> Result<&Spanned<'a>, Error> {
        let token = match self.peeked.take() {
            Some(token) => token,
            None => self.lexer.next()?,
        };
        Ok(self.peeked.insert(token))
    }

    fn next(&mut self) -> Result<Spanned<'a>, Error> {
        match self.peeked.take() {
            Some(token) => Ok(token),
            None => self.lexer.next(),
        }
    }

    /// Takes the next token if it is that one.
    fn eat(&mut self, token: &Token<'_>) -> Result<Option<Span>, Error> {
        if self.peek()?.0 == *token { Ok(Some(self.next()?.1)) } else { Ok(None) }
    }

    fn whole(mut self) -> Result<Node, Error> {
        if self.peek()?.0 == Token::End {
            return Err(Error::syntax(Span::new(0, 0), "the expression is empty")
                .help("write a test, such as protocol == \"tls\""));
        }
        let node = self.expr(power::OR)?;
        match self.next()? {
            (Token::End, _) => Ok(node),
            (token, span) => Err(self.misplaced(&token, span)),
        }
    }

    /// A token where an operator or the end was expected.
    fn misplaced(&self, token: &Token<'_>, span: Span) -> Error {
        let shown = self.lexer.text.get(span.start..span.end).unwrap_or("");
        match token {
            Token::Close(c) => Error::syntax(span, format!("`{c}` without an opening bracket")),
            Token::Compare(_) | Token::Contains | Token::Matches | Token::In => {
                Error::syntax(span, format!("`{shown}` cannot follow another test"))
                    .help("join two tests by `and` or `or`")
            }
            Token::Word(word) => {
                let error = Error::syntax(span, format!("an operator is missing before `{shown}`"));
                match (word.to_ascii_lowercase().as_str(), word.to_ascii_uppercase().as_str()) {
                    (lower, _) if keyword(lower).is_some() => error.help(format!("did you mean `{lower}`?")),
                    (_, "LIKE" | "ILIKE") => {
                        error.help("did you mean `contains`, or `matches` with a pattern?")
                    }
                    (_, "IS") => error.help("did you mean `==`?"),
                    (_, "BETWEEN") => error.help("did you mean `in {low..high}`?"),
                    _ => error.help("tests are joined by `and` or `or`"),
                }
            }
            Token::Comma => {
                Error::syntax(span, "`,` has no meaning here").help("tests are joined by `and` or `or`")
            }
            Token::DotDot => Error::syntax(span, "a range stands only in a set").help("write in {low..high}"),
            Token::Bracket => Error::syntax(span, "a slice has nothing to be taken from"),
            _ => Error::syntax(span, format!("an operator is missing before `{shown}`"))
                .help("tests are joined by `and` or `or`"),
        }
    }

    /// Counts one more level of nesting.
    fn deeper(&mut self, span: Span) -> Result<(), Error> {
        self.depth += 1;
        if self.depth > DEPTH_MAX { Err(too_deep(span)) } else { Ok(()) }
    }

    /// Everything from here on that binds at least as tightly as `least`.
    fn expr(&mut self, least: u8) -> Result<Node, Error> {
        let span = self.peek()?.1;
        self.deeper(span)?;
        let mut left = self.prefix(least)?;
        let mut links = 0;
        loop {
            let token = self.peek()?.0.clone();
            let tightness = match token {
                Token::Or => power::OR,
                Token::Xor => power::XOR,
                Token::And => power::AND,
                Token::Compare(_) | Token::Contains | Token::Matches | Token::In | Token::Not => {
                    power::RELATION
                }
                Token::Arithmetic(op) => op.power(),
                _ => break,
            };
            if tightness < least {
                break;
            }
            left = match token {
                Token::Or | Token::Xor | Token::And => self.terms(left, &token, tightness)?,
                Token::Arithmetic(op) => {
                    // Every link of a chain is one level of the tree.
                    links += 1;
                    let (_, at) = self.next()?;
                    if self.depth + links > DEPTH_MAX {
                        return Err(too_deep(at));
                    }
                    let right = self.expr(tightness + 1)?;
                    let span = left.span.to(right.span);
                    Node { span, expr: Expr::Arithmetic(op, left.into(), right.into()) }
                }
                _ => {
                    let relation = self.relation(left)?;
                    // Relations don't follow one another, but for the links of a comparison.
                    if let (
                        Token::Compare(_) | Token::Contains | Token::Matches | Token::In | Token::Not,
                        span,
                    ) = *self.peek()?
                    {
                        let token = self.next()?.0;
                        return Err(self.misplaced(&token, span));
                    }
                    relation
                }
            };
        }
        self.depth -= 1;
        Ok(left)
    }

    /// The terms of a chain of one logical operator.
    fn terms(&mut self, first: Node, op: &Token<'_>, tightness: u8) -> Result<Node, Error> {
        let mut terms = vec![first];
        while self.eat(op)?.is_some() {
            terms.push(self.expr(tightness + 1)?);
        }
        let span = terms.iter().fold(terms[0].span, |span, term| span.to(term.span));
        let expr = match op {
            Token::Or => Expr::Or(terms),
            Token::Xor => Expr::Xor(terms),
            _ => Expr::And(terms),
        };
        Ok(Node { span, expr })
    }

    /// The operator is next, `left` stands before it.
    fn relation(&mut self, left: Node) -> Result<Node, Error> {
        let (token, at) = self.next()?;
        let start = left.span;
        let left = Box::new(left);
        let quantifier = None;
        Ok(match token {
            Token::Compare(mut op) => {
                let mut rest = Vec::new();
                loop {
                    let right = self.expr(power::RELATION + 1)?;
                    rest.push((op, right));
                    let Token::Compare(next) = self.peek()?.0 else { break };
                    self.next()?;
                    op = next;
                }
                let span = rest.last().map_or(start, |(_, node)| start.to(node.span));
                Node { span, expr: Expr::Compare { quantifier, first: left, rest } }
            }
            Token::Contains => {
                let right = Box::new(self.expr(power::RELATION + 1)?);
                Node { span: start.to(right.span), expr: Expr::Contains { quantifier, left, right } }
            }
            Token::Matches => {
                let right = Box::new(self.expr(power::RELATION + 1)?);
                Node { span: start.to(right.span), expr: Expr::Matches { quantifier, left, right } }
            }
            Token::Not => {
                if self.eat(&Token::In)?.is_none() {
                    return Err(Error::syntax(at, "only `in` can follow `not` here")
                        .help("put `not` before the whole test: not (x contains \"y\")"));
                }
                let (set, end) = self.set()?;
                Node { span: start.to(end), expr: Expr::In { quantifier, negated: true, left, set } }
            }
            _ => {
                let (set, end) = self.set()?;
                Node { span: start.to(end), expr: Expr::In { quantifier, negated: false, left, set } }
            }
        })
    }

    /// What stands after `in`.
    fn set(&mut self) -> Result<(Vec<SetItem>, Span), Error> {
        let open = match self.next()? {
            (Token::List(name), span) => {
                return Ok((vec![SetItem::One(Node { span, expr: Expr::List(name.to_owned()) })], span));
            }
            (Token::Open('{'), span) => span,
            (_, span) => {
                return Err(Error::syntax(span, "`in` needs a set")
                    .help("a set is {80, 443, 8000..8999}, or a named list such as $ports"));
            }
        };
        if let Some(close) = self.eat(&Token::Close('}'))? {
            return Err(Error::syntax(open.to(close), "the set is empty")
                .help("put at least one value between { and }"));
        }
        let mut items = Vec::new();
        loop {
            let low = self.expr(power::BIT_AND)?;
            items.push(match self.eat(&Token::DotDot)? {
                Some(_) => SetItem::Range(low, self.expr(power::BIT_AND)?),
                None => SetItem::One(low),
            });
            match self.next()? {
                (Token::Comma, _) => {}
                (Token::Close('}'), close) => return Ok((items, open.to(close))),
                (Token::End, _) => return Err(unclosed('{', open)),
                (_, span) => {
                    return Err(Error::syntax(span, "the items of a set are separated by commas")
                        .help("write {80, 443}"));
                }
            }
        }
    }

    /// What can begin an expression.
    fn prefix(&mut self, least: u8) -> Result<Node, Error> {
        let (token, span) = self.next()?;
        match token {
            Token::Not if least <= power::NOT => {
                let of = self.expr(power::NOT)?;
                Ok(Node { span: span.to(of.span), expr: Expr::Not(of.into()) })
            }
            Token::Quantifier(quantifier) if least <= power::RELATION => {
                let of = self.expr(power::RELATION)?;
                quantified(quantifier, of, span)
            }
            Token::Not | Token::Quantifier(_) => {
                let shown = self.lexer.text.get(span.start..span.end).unwrap_or("");
                Err(Error::syntax(span, format!("`{shown}` stands before a whole test, not before a value")))
            }
            Token::Arithmetic(crate::ast::ArithmeticOp::Sub) => {
                let of = self.expr(power::UNARY)?;
                Ok(Node { span: span.to(of.span), expr: Expr::Negative(of.into()) })
            }
            Token::Arithmetic(crate::ast::ArithmeticOp::Add) => self.expr(power::UNARY),
            Token::Open(open) => {
                let mut inner = self.expr(power::OR)?;
                let close = if open == '(' { ')' } else { '}' };
                match self.next()? {
                    (Token::Close(c), end) if c == close => {
                        inner.span = span.to(end);
                        self.slices(inner)
                    }
                    (Token::End, _) => Err(unclosed(open, span)),
                    (Token::Close(c), end) => {
                        Err(Error::syntax(end, format!("`{c}` doesn't close `{open}`"))
                            .help(format!("write `{close}`")))
                    }
                    (token, span) => Err(self.misplaced(&token, span)),
                }
            }
            Token::Word(word) => {
                if self.peek()?.0 == Token::Open('(') {
                    let (_, open) = self.next()?;
                    let (arguments, end) = self.arguments(open)?;
                    return self
                        .slices(Node { span: span.to(end), expr: Expr::Call(word.to_owned(), arguments) });
                }
                self.slices(Node { span, expr: Expr::Word(word.to_owned()) })
            }
            Token::Text(text) => self.slices(Node { span, expr: Expr::Text(text) }),
            Token::Char(byte) => Ok(Node { span, expr: Expr::Char(byte) }),
            Token::List(name) => Ok(Node { span, expr: Expr::List(name.to_owned()) }),
            Token::End => Err(Error::syntax(span, "the expression ends where a value is expected")),
            _ => {
                let shown = self.lexer.text.get(span.start..span.end).unwrap_or("");
                Err(Error::syntax(span, format!("a value is expected before `{shown}`")))
            }
        }
    }

    /// The slices after a value.
    fn slices(&mut self, mut node: Node) -> Result<Node, Error> {
        let mut links = 0;
        while let Some(open) = self.eat(&Token::Bracket)? {
            links += 1;
            if self.depth + links > DEPTH_MAX {
                return Err(too_deep(open));
            }
            let (ranges, span) = self.lexer.slice(open)?;
            node = Node { span: node.span.to(span), expr: Expr::Slice(node.into(), ranges) };
        }
        Ok(node)
    }

    /// What stands between the parentheses after a function's name.
    fn arguments(&mut self, open: Span) -> Result<(Vec<Node>, Span), Error> {
        let mut arguments = Vec::new();
        if let Some(close) = self.eat(&Token::Close(')'))? {
            return Ok((arguments, close));
        }
        loop {
            arguments.push(self.expr(power::BIT_AND)?);
            match self.next()? {
                (Token::Comma, _) => {}
                (Token::Close(')'), close) => return Ok((arguments, close)),
                (Token::End, _) => return Err(unclosed('(', open)),
                (_, span) => {
                    return Err(Error::syntax(span, "a function is given values, separated by commas")
                        .help("compare what the function returns: lower(x) == \"y\""));
                }
            }
        }
    }
}

fn unclosed(open: char, span: Span) -> Error {
    Error::syntax(span, format!("`{open}` is never closed"))
}

fn too_deep(span: Span) -> Error {
    let message = format!("the expression is nested more than {DEPTH_MAX} deep");
    Error::new(span, ErrorKind::Limit(message)).help("split it, or use `in` with a set or a list")
}

/// Puts a quantifier on a test.
fn quantified(value: Quantifier, mut node: Node, at: Span) -> Result<Node, Error> {
    match &mut node.expr {
        Expr::Compare { quantifier, .. }
        | Expr::Contains { quantifier, .. }
        | Expr::Matches { quantifier, .. }
        | Expr::In { quantifier, .. }
            if quantifier.is_none() =>
        {
            *quantifier = Some(value);
            node.span = at.to(node.span);
            Ok(node)
        }
        _ => Err(Error::syntax(at.to(node.span), "`any` and `all` need one comparison")
            .help("write, for example, all dns.answer.ttl > 60")),
    }
}
