//! Conditions of the rule form: `region == 'EMEA' and principal.level in ['a', 'b']`.
//!
//! A bare name is a column, `principal.x` and `context.x` the caller and the call. What is absent
//! makes a comparison false, negated or not: negation is pushed down to the comparisons first, so
//! that the guards stay positive.

use super::{
    cedar::{attribute, has, quoted},
    data::cedar_number,
};

/// Longest condition, in bytes.
const BYTES_MAX: usize = 4096;
/// Deepest nesting of `not` and parentheses.
const DEPTH_MAX: usize = 32;

/// A compiled condition.
#[derive(Debug)]
pub(super) struct Condition {
    pub(super) cedar: String,
    /// Whether it speaks of a column: then it decides rows.
    pub(super) has_column: bool,
}

/// Compiles one condition.
pub(super) fn compile(text: &str) -> Result<Condition, String> {
    if text.len() > BYTES_MAX {
        return Err(format!("longer than {BYTES_MAX} bytes"));
    }
    let mut parser = Parser {
        tokens: tokens(text)?,
        at: 0,
        has_column: false,
    };
    let tree = parser.either(0)?;
    match parser.peek() {
        None => Ok(Condition {
            cedar: print(&tree, false),
            has_column: parser.has_column,
        }),
        Some(token) => Err(format!("unexpected `{}`", token.text())),
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    Text(String),
    Number(String),
    Sign(&'static str),
}

impl Token {
    fn text(&self) -> &str {
        match self {
            Self::Word(text) | Self::Text(text) | Self::Number(text) => text,
            Self::Sign(sign) => sign,
        }
    }
}

const SIGNS: &[&str] = &["==", "!=", "<=", ">=", "<", ">", "(", ")", "[", "]", ","];

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let (token, tail) = if first == '\'' || first == '"' {
            let (body, tail) = rest
                .strip_prefix(first)
                .and_then(|tail| tail.split_once(first))
                .ok_or("a text without closing quote")?;
            (Token::Text(body.to_owned()), tail)
        } else if let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
            (
                Token::Sign(sign),
                rest.strip_prefix(*sign).unwrap_or_default(),
            )
        } else if first.is_ascii_digit() || first == '-' {
            let (word, tail) = split(rest, |c| c.is_ascii_digit() || matches!(c, '.' | '-'));
            (Token::Number(word), tail)
        } else if first.is_alphabetic() || first == '_' {
            let (word, tail) = split(rest, |c| c.is_alphanumeric() || matches!(c, '.' | '_'));
            (Token::Word(word), tail)
        } else {
            return Err(format!("unexpected `{first}`"));
        };
        tokens.push(token);
        rest = tail.trim_start();
    }
    Ok(tokens)
}

fn split(text: &str, accepts: impl Fn(char) -> bool) -> (String, &str) {
    let word: String = text.chars().take_while(|c| accepts(*c)).collect();
    let tail = text.strip_prefix(word.as_str()).unwrap_or_default();
    (word, tail)
}

#[derive(Debug)]
enum Tree {
    And(Box<Tree>, Box<Tree>),
    Or(Box<Tree>, Box<Tree>),
    Not(Box<Tree>),
    /// Guards that must hold, the comparison, and its opposite.
    Leaf {
        guards: Vec<String>,
        yes: String,
        no: String,
    },
}

/// An operand: its Cedar text, the guards that it needs, and what it is.
struct Operand {
    cedar: String,
    guards: Vec<String>,
    kind: OperandKind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum OperandKind {
    Column,
    Caller,
    Call,
    Long,
    Decimal,
    Other,
    List,
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    has_column: bool,
}

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn next(&mut self) -> Result<Token, String> {
        let token = self.peek().cloned().ok_or("it ends too early")?;
        self.at += 1;
        Ok(token)
    }

    fn accept(&mut self, wanted: &Token) -> bool {
        let found = self.peek() == Some(wanted);
        self.at += usize::from(found);
        found
    }

    fn word(&mut self, word: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Word(w)) if w.eq_ignore_ascii_case(word));
        self.at += usize::from(found);
        found
    }

    fn either(&mut self, depth: usize) -> Result<Tree, String> {
        let mut left = self.both(depth)?;
        while self.word("or") {
            left = Tree::Or(Box::new(left), Box::new(self.both(depth)?));
        }
        Ok(left)
    }

    fn both(&mut self, depth: usize) -> Result<Tree, String> {
        let mut left = self.single(depth)?;
        while self.word("and") {
            left = Tree::And(Box::new(left), Box::new(self.single(depth)?));
        }
        Ok(left)
    }

    fn single(&mut self, depth: usize) -> Result<Tree, String> {
        if depth > DEPTH_MAX {
            return Err(format!("nested deeper than {DEPTH_MAX}"));
        }
        if self.word("not") {
            return Ok(Tree::Not(Box::new(self.single(depth + 1)?)));
        }
        if self.accept(&Token::Sign("(")) {
            let tree = self.either(depth + 1)?;
            return if self.accept(&Token::Sign(")")) {
                Ok(tree)
            } else {
                Err("`)` is missing".into())
            };
        }
        self.comparison()
    }

    fn comparison(&mut self) -> Result<Tree, String> {
        let left = self.operand()?;
        let operator = match self.next()? {
            Token::Sign(sign @ ("==" | "!=" | "<" | "<=" | ">" | ">=")) => sign,
            Token::Word(word) if word.eq_ignore_ascii_case("in") => "in",
            Token::Word(word) if word.eq_ignore_ascii_case("not") && self.word("in") => "not in",
            other => return Err(format!("expected an operator, found `{}`", other.text())),
        };
        let right = self.operand()?;
        let guards = [left.guards.clone(), right.guards.clone()].concat();
        let (yes, no) = compare(&left, operator, &right)?;
        Ok(Tree::Leaf { guards, yes, no })
    }

    fn operand(&mut self) -> Result<Operand, String> {
        let plain = |cedar: String, kind| Operand {
            cedar,
            guards: Vec::new(),
            kind,
        };
        Ok(match self.next()? {
            Token::Text(text) => plain(quoted(&text), OperandKind::Other),
            Token::Number(text) => {
                let cedar =
                    cedar_number(&text).ok_or_else(|| format!("`{text}` is no exact number"))?;
                let is_decimal = cedar.starts_with("decimal");
                plain(
                    cedar,
                    if is_decimal {
                        OperandKind::Decimal
                    } else {
                        OperandKind::Long
                    },
                )
            }
            Token::Sign("[") => plain(self.items()?, OperandKind::List),
            Token::Word(word) => return self.named(&word),
            Token::Sign(sign) => return Err(format!("unexpected `{sign}`")),
        })
    }

    fn named(&mut self, word: &str) -> Result<Operand, String> {
        if let "true" | "false" = word {
            return Ok(Operand {
                cedar: word.into(),
                guards: vec![],
                kind: OperandKind::Other,
            });
        }
        if ["and", "or", "not", "in"]
            .iter()
            .any(|w| word.eq_ignore_ascii_case(w))
        {
            return Err(format!("unexpected `{word}`"));
        }
        match word.split_once('.') {
            Some(("principal", name)) => Ok(Operand {
                cedar: format!("principal.getTag({})", quoted(name)),
                guards: vec![format!("principal.hasTag({})", quoted(name))],
                kind: OperandKind::Caller,
            }),
            Some(("context", name)) if !name.contains('.') => Ok(Operand {
                cedar: attribute("context", name),
                guards: vec![has("context", name)],
                kind: OperandKind::Call,
            }),
            Some(_) => Err(format!(
                "`{word}`: only `principal.x` and `context.x` have parts"
            )),
            None => {
                self.has_column = true;
                Ok(Operand {
                    cedar: attribute("resource", word),
                    guards: vec![has("resource", word)],
                    kind: OperandKind::Column,
                })
            }
        }
    }

    fn items(&mut self) -> Result<String, String> {
        let mut items = Vec::new();
        loop {
            let item = self.operand()?;
            if !matches!(
                item.kind,
                OperandKind::Long | OperandKind::Decimal | OperandKind::Other
            ) {
                return Err("a list holds plain values only".into());
            }
            items.push(item.cedar);
            if self.accept(&Token::Sign("]")) {
                return Ok(format!("[{}]", items.join(", ")));
            }
            if !self.accept(&Token::Sign(",")) {
                return Err("`]` is missing".into());
            }
        }
    }
}

/// The comparison and its opposite.
fn compare(left: &Operand, operator: &str, right: &Operand) -> Result<(String, String), String> {
    let (l, r) = (&left.cedar, &right.cedar);
    let is_constant = |operand: &Operand| operand.guards.is_empty();
    if is_constant(left) && is_constant(right) {
        return Err("it compares constants".into());
    }
    if let "in" | "not in" = operator {
        if right.kind != OperandKind::List {
            return Err("`in` needs a list such as ['a', 'b']".into());
        }
        let (yes, no) = (format!("{r}.contains({l})"), format!("!{r}.contains({l})"));
        return Ok(if operator == "in" {
            (yes, no)
        } else {
            (no, yes)
        });
    }
    if left.kind == OperandKind::List || right.kind == OperandKind::List {
        return Err("a list goes with `in` only".into());
    }
    match operator {
        "==" => return Ok((format!("{l} == {r}"), format!("{l} != {r}"))),
        "!=" => return Ok((format!("{l} != {r}"), format!("{l} == {r}"))),
        _ => {}
    }
    let kinds = [left.kind, right.kind];
    if kinds.contains(&OperandKind::Decimal) {
        let call = |method: &str| format!("{l}.{method}({r})");
        let (yes, no) = match operator {
            "<" => ("lessThan", "greaterThanOrEqual"),
            "<=" => ("lessThanOrEqual", "greaterThan"),
            ">" => ("greaterThan", "lessThanOrEqual"),
            _ => ("greaterThanOrEqual", "lessThan"),
        };
        return Ok((call(yes), call(no)));
    }
    if kinds.contains(&OperandKind::Other) || kinds.contains(&OperandKind::Caller) {
        return Err(format!("`{operator}` compares numbers, not texts"));
    }
    let opposite = match operator {
        "<" => ">=",
        "<=" => ">",
        ">" => "<=",
        _ => "<",
    };
    Ok((format!("{l} {operator} {r}"), format!("{l} {opposite} {r}")))
}

fn print(tree: &Tree, is_negated: bool) -> String {
    match (tree, is_negated) {
        (Tree::Not(inner), _) => print(inner, !is_negated),
        (Tree::And(left, right), false) | (Tree::Or(left, right), true) => {
            format!(
                "{} && {}",
                group(left, is_negated),
                group(right, is_negated)
            )
        }
        (Tree::Or(left, right), false) | (Tree::And(left, right), true) => {
            format!(
                "{} || {}",
                group(left, is_negated),
                group(right, is_negated)
            )
        }
        (Tree::Leaf { guards, yes, no }, _) => {
            let last = if is_negated { no } else { yes };
            let mut terms = guards.clone();
            terms.push(last.clone());
            terms.join(" && ")
        }
    }
}

fn group(tree: &Tree, is_negated: bool) -> String {
    format!("({})", print(tree, is_negated))
}
