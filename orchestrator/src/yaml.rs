//! YAML text to a tree that knows where each part stands.
//!
//! YAML 1.2 core schema, streams of several documents. Duplicate keys, merge keys, custom tags and
//! anything above a bound are errors; an alias is replaced by a copy of what it names.

use std::collections::BTreeMap;

use dataos_model::fault::{Fault, FaultKind, Location};
use serde_saphyr::granit_parser::{Event, Parser, ScalarStyle, ScanError, Span, Tag};

/// Longest stream, in bytes: the size of a request body at the edge.
pub(crate) const STREAM_BYTES_MAX: usize = 1024 * 1024;
/// Deepest nesting; bounds every recursion over the tree.
const DEPTH_MAX: usize = 64;
/// Most nodes of a stream, aliases expanded: bounds the "billion laughs".
const NODES_MAX: usize = 200_000;
/// Most documents of a stream.
const DOCUMENTS_MAX: usize = 1000;

/// One-based place in the text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) line: u64,
    pub(crate) column: u64,
}

impl Place {
    fn of(span: &Span) -> Self {
        Self {
            line: span.start.line() as u64,
            column: span.start.col() as u64 + 1,
        }
    }

    pub(crate) fn location(self, field: &str) -> Location {
        Location {
            file: None,
            line: Some(self.line),
            column: Some(self.column),
            field: (!field.is_empty()).then(|| field.to_owned()),
        }
    }
}

/// A value with its place.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) place: Place,
    pub(crate) content: Content,
}

/// A mapping entry.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) key: String,
    pub(crate) place: Place,
    pub(crate) node: Node,
}

/// What a node holds.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    Null,
    Bool(bool),
    /// As written.
    Number(String),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Member>),
}

impl Node {
    /// The word for messages.
    pub(crate) fn kind(&self) -> &'static str {
        match self.content {
            Content::Null => "nothing",
            Content::Bool(_) => "true or false",
            Content::Number(_) => "a number",
            Content::Text(_) => "text",
            Content::List(_) => "a list",
            Content::Map(_) => "a mapping",
        }
    }

    pub(crate) fn member(&self, key: &str) -> Option<&Node> {
        match &self.content {
            Content::Map(members) => members
                .iter()
                .find(|member| member.key == key)
                .map(|member| &member.node),
            _ => None,
        }
    }

    /// As JSON, key order kept.
    pub(crate) fn json(&self) -> serde_json::Value {
        match &self.content {
            Content::Null => serde_json::Value::Null,
            Content::Bool(value) => (*value).into(),
            Content::Number(text) => number(text),
            Content::Text(text) => text.as_str().into(),
            Content::List(items) => items.iter().map(Node::json).collect(),
            Content::Map(members) => serde_json::Value::Object(
                members
                    .iter()
                    .map(|member| (member.key.clone(), member.node.json()))
                    .collect(),
            ),
        }
    }
}

fn number(text: &str) -> serde_json::Value {
    match text.parse::<i64>() {
        Ok(value) => value.into(),
        Err(_) => match text.parse::<f64>() {
            // A number that JSON cannot hold exactly stays as it was written.
            Ok(value) if value.is_finite() && value.to_string() == text => value.into(),
            _ => text.into(),
        },
    }
}

/// JSON as YAML text; the inverse of [`parse`] and [`Node::json`].
pub(crate) fn print(value: &serde_json::Value) -> Result<String, Fault> {
    serde_saphyr::to_string(value)
        .map_err(|error| Fault::internal(format!("the manifest cannot be printed: {error}")))
}

/// The documents of a stream; empty ones are left out.
pub(crate) fn parse(text: &str) -> Result<Vec<Node>, Fault> {
    if text.len() > STREAM_BYTES_MAX {
        return Err(Fault::new(
            FaultKind::TooLarge,
            format!("the manifests are longer than {STREAM_BYTES_MAX} bytes"),
        )
        .with_hint("apply them in several calls"));
    }
    let mut reader = Reader {
        parser: Parser::new_from_str(text),
        anchors: BTreeMap::new(),
        node_count: 0,
    };
    let mut documents = Vec::new();
    while let Some((event, span)) = reader.next()? {
        match event {
            Event::DocumentStart(..) => reader.anchors.clear(),
            Event::StreamStart | Event::DocumentEnd => {}
            Event::StreamEnd => break,
            event => {
                let node = reader.node(event, span, 0)?;
                if documents.len() == DOCUMENTS_MAX {
                    return Err(error(
                        Place::of(&span),
                        format!("more than {DOCUMENTS_MAX} documents"),
                    ));
                }
                if !matches!(node.content, Content::Null) {
                    documents.push(node);
                }
            }
        }
    }
    Ok(documents)
}

fn error(place: Place, message: impl Into<String>) -> Fault {
    Fault::invalid(message).at(place.location(""))
}

fn scan_error(problem: &ScanError) -> Fault {
    let marker = problem.marker();
    let place = Place {
        line: marker.line() as u64,
        column: marker.col() as u64 + 1,
    };
    error(place, format!("not YAML: {}", problem.info()))
}

struct Reader<'a> {
    parser: Parser<'a, serde_saphyr::granit_parser::StrInput<'a>>,
    anchors: BTreeMap<usize, Node>,
    node_count: usize,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<Option<(Event<'a>, Span)>, Fault> {
        loop {
            match self.parser.next_event() {
                None => return Ok(None),
                Some(Err(problem)) => return Err(scan_error(&problem)),
                Some(Ok((Event::Comment(..), _))) => {}
                Some(Ok(event)) => return Ok(Some(event)),
            }
        }
    }

    fn required(&mut self) -> Result<(Event<'a>, Span), Fault> {
        self.next()?
            .ok_or_else(|| Fault::invalid("the YAML text ends too early"))
    }

    fn count(&mut self, place: Place, nodes: usize) -> Result<(), Fault> {
        self.node_count += nodes;
        if self.node_count > NODES_MAX {
            return Err(error(
                place,
                format!("more than {NODES_MAX} values, aliases expanded"),
            ));
        }
        Ok(())
    }

    fn node(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Node, Fault> {
        let place = Place::of(&span);
        if depth > DEPTH_MAX {
            return Err(error(
                place,
                format!("nested deeper than {DEPTH_MAX} levels"),
            ));
        }
        self.count(place, 1)?;
        let (anchor, content) = match event {
            Event::Alias(anchor) => return self.alias(anchor, place, depth),
            Event::Scalar(text, style, anchor, tag) => {
                (anchor, scalar(&text, style, tag.as_deref(), place)?)
            }
            Event::SequenceStart(_, anchor, tag) => {
                refuse_tag(tag.as_deref(), "seq", place)?;
                (anchor, self.list(depth)?)
            }
            Event::MappingStart(_, anchor, tag) => {
                refuse_tag(tag.as_deref(), "map", place)?;
                (anchor, self.map(depth)?)
            }
            other => return Err(error(place, format!("unexpected {other:?}"))),
        };
        let node = Node { place, content };
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn alias(&mut self, anchor: usize, place: Place, depth: usize) -> Result<Node, Fault> {
        let Some(target) = self.anchors.get(&anchor) else {
            return Err(error(
                place,
                "an alias names an anchor that is not complete before it",
            ));
        };
        let (nodes, height) = extent(target);
        // Counted before the copy is made, so that the bound holds for memory, too.
        let content = if self.node_count + nodes > NODES_MAX || depth + height > DEPTH_MAX {
            return Err(error(
                place,
                format!("more than {NODES_MAX} values, aliases expanded"),
            ));
        } else {
            target.content.clone()
        };
        self.count(place, nodes)?;
        Ok(Node { place, content })
    }

    fn list(&mut self, depth: usize) -> Result<Content, Fault> {
        let mut items = Vec::new();
        loop {
            match self.required()? {
                (Event::SequenceEnd, _) => return Ok(Content::List(items)),
                (event, span) => items.push(self.node(event, span, depth + 1)?),
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Content, Fault> {
        let mut members: Vec<Member> = Vec::new();
        let mut names = BTreeMap::new();
        loop {
            let (key, place) = match self.required()? {
                (Event::MappingEnd, _) => return Ok(Content::Map(members)),
                (Event::Scalar(text, ..), span) => (text.into_owned(), Place::of(&span)),
                (_, span) => return Err(error(Place::of(&span), "a key must be a plain word")),
            };
            if key == "<<" {
                return Err(error(place, "merge keys (`<<`) are not part of YAML 1.2")
                    .with_hint("write the fields out"));
            }
            if let Some(first) = names.insert(key.clone(), place) {
                let first: Place = first;
                return Err(Fault::invalid(format!(
                    "the key `{key}` is given twice, first in line {}",
                    first.line
                ))
                .at(place.location(&key)));
            }
            let (event, span) = self.required()?;
            let node = self.node(event, span, depth + 1)?;
            members.push(Member { key, place, node });
        }
    }
}

/// Number of nodes and levels.
fn extent(node: &Node) -> (usize, usize) {
    let children: Vec<&Node> = match &node.content {
        Content::List(items) => items.iter().collect(),
        Content::Map(members) => members.iter().map(|member| &member.node).collect(),
        _ => Vec::new(),
    };
    children
        .into_iter()
        .map(extent)
        .fold((1, 1), |(nodes, height), (more, deeper)| {
            (nodes + more, height.max(deeper + 1))
        })
}

fn refuse_tag(tag: Option<&Tag>, allowed: &str, place: Place) -> Result<(), Fault> {
    match tag {
        Some(tag) if tag.core_suffix() != Some(allowed) => Err(error(
            place,
            format!("the YAML tag `{}` is not supported", tag.original()),
        )),
        _ => Ok(()),
    }
}

fn scalar(
    text: &str,
    style: ScalarStyle,
    tag: Option<&Tag>,
    place: Place,
) -> Result<Content, Fault> {
    match tag.map(|tag| (tag.core_suffix(), tag)) {
        None if style == ScalarStyle::Plain => Ok(plain(text)),
        None | Some((Some("str"), _)) => Ok(Content::Text(text.to_owned())),
        Some((_, tag)) => Err(error(
            place,
            format!("the YAML tag `{}` is not supported", tag.original()),
        )),
    }
}

/// The core schema of YAML 1.2.
fn plain(text: &str) -> Content {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Content::Null,
        "true" | "True" | "TRUE" => Content::Bool(true),
        "false" | "False" | "FALSE" => Content::Bool(false),
        _ if is_number(text) => Content::Number(text.strip_prefix('+').unwrap_or(text).to_owned()),
        _ => Content::Text(text.to_owned()),
    }
}

fn is_number(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && unsigned.chars().any(|c| c.is_ascii_digit())
        && unsigned
            .chars()
            .all(|c| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '-' | '+'))
        && text.parse::<f64>().is_ok()
}

#[cfg(test)]
mod tests;
