//! Typed reading of a mapping: every wrong field is named with its place, every unknown one with the
//! nearest known name.

use std::cell::RefCell;

use dataos_model::fault::Fault;

use crate::yaml::{Content, Member, Node, Place};

/// What happens to keys that nobody asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unknown {
    /// Kept, and warned about.
    Warn,
    /// Refused: in policies and secrets a misspelt key must not lose its effect.
    Refuse,
}

/// Warnings of one document, in order of appearance.
#[derive(Debug, Default)]
pub(crate) struct Warnings(RefCell<Vec<String>>);

impl Warnings {
    pub(crate) fn add(&self, text: impl Into<String>) {
        self.0.borrow_mut().push(text.into());
    }

    pub(crate) fn into_list(self) -> Vec<String> {
        self.0.into_inner()
    }
}

/// A mapping under reading.
#[derive(Debug)]
pub(crate) struct Fields<'a> {
    path: String,
    place: Place,
    members: &'a [Member],
    known: RefCell<Vec<&'static str>>,
    unknown: Unknown,
    warnings: &'a Warnings,
}

/// A fault about `field` at `node`.
pub(crate) fn wrong(place: Place, field: &str, message: impl Into<String>) -> Fault {
    Fault::invalid(message).at(place.location(field))
}

/// A fault that says what was wanted in place of `node`.
pub(crate) fn expected(node: &Node, field: &str, wanted: &str) -> Fault {
    wrong(
        node.place,
        field,
        format!("expected {wanted}, found {}", node.kind()),
    )
}

impl<'a> Fields<'a> {
    /// Reads `node`, which stands at `path`.
    pub(crate) fn of(
        node: &'a Node,
        path: &str,
        unknown: Unknown,
        warnings: &'a Warnings,
    ) -> Result<Self, Fault> {
        let members: &[Member] = match &node.content {
            Content::Map(members) => members,
            Content::Null => &[],
            _ => return Err(expected(node, path, "a mapping")),
        };
        let known = RefCell::default();
        Ok(Self {
            path: path.to_owned(),
            place: node.place,
            members,
            known,
            unknown,
            warnings,
        })
    }

    /// Dotted path of a field; of the mapping itself for the empty name.
    pub(crate) fn path(&self, name: &str) -> String {
        match (self.path.as_str(), name) {
            (path, "") => path.to_owned(),
            ("", name) => name.to_owned(),
            (path, name) => format!("{path}.{name}"),
        }
    }

    pub(crate) fn warnings(&self) -> &'a Warnings {
        self.warnings
    }

    /// The node of a field; null counts as absent.
    pub(crate) fn node(&self, name: &'static str) -> Option<&'a Node> {
        self.known.borrow_mut().push(name);
        let member = self.members.iter().find(|member| member.key == name)?;
        (!matches!(member.node.content, Content::Null)).then_some(&member.node)
    }

    pub(crate) fn required(&self, name: &'static str) -> Result<&'a Node, Fault> {
        self.node(name).ok_or_else(|| self.missing(name))
    }

    pub(crate) fn missing(&self, name: &str) -> Fault {
        wrong(self.place, &self.path(name), format!("`{name}` is missing"))
    }

    /// A fault about one field of this mapping.
    pub(crate) fn fault(&self, name: &str, message: impl Into<String>) -> Fault {
        let place = self
            .members
            .iter()
            .find(|m| m.key == name)
            .map_or(self.place, |m| m.node.place);
        wrong(place, &self.path(name), message)
    }

    /// Text; a number is taken as it is written.
    pub(crate) fn text(&self, name: &'static str) -> Result<Option<&'a str>, Fault> {
        self.node(name)
            .map(|node| text_of(node, &self.path(name)))
            .transpose()
    }

    pub(crate) fn required_text(&self, name: &'static str) -> Result<&'a str, Fault> {
        text_of(self.required(name)?, &self.path(name))
    }

    /// True or false; the words of YAML 1.1 are taken with a warning.
    pub(crate) fn flag(&self, name: &'static str) -> Result<Option<bool>, Fault> {
        let Some(node) = self.node(name) else {
            return Ok(None);
        };
        let path = self.path(name);
        match &node.content {
            Content::Bool(value) => Ok(Some(*value)),
            Content::Text(word) => {
                let value = match word.to_ascii_lowercase().as_str() {
                    "yes" | "on" => true,
                    "no" | "off" => false,
                    _ => return Err(expected(node, &path, "true or false")),
                };
                self.warnings.add(format!(
                    "line {}: `{path}: {word}` is taken as {value}; write {value}",
                    node.place.line
                ));
                Ok(Some(value))
            }
            _ => Err(expected(node, &path, "true or false")),
        }
    }

    /// A whole number between bounds.
    pub(crate) fn integer(
        &self,
        name: &'static str,
        range: std::ops::RangeInclusive<i64>,
    ) -> Result<Option<i64>, Fault> {
        let Some(node) = self.node(name) else {
            return Ok(None);
        };
        let path = self.path(name);
        let wanted = format!("a whole number from {} to {}", range.start(), range.end());
        let (Content::Number(text) | Content::Text(text)) = &node.content else {
            return Err(expected(node, &path, &wanted));
        };
        match text.parse::<i64>() {
            Ok(value) if range.contains(&value) => Ok(Some(value)),
            _ => Err(wrong(
                node.place,
                &path,
                format!("expected {wanted}, found `{text}`"),
            )),
        }
    }

    /// The items of a list, each with its path.
    pub(crate) fn list(&self, name: &'static str) -> Result<Vec<(String, &'a Node)>, Fault> {
        self.node(name)
            .map_or(Ok(Vec::new()), |node| items_of(node, &self.path(name)))
    }

    /// A list of texts.
    pub(crate) fn texts(&self, name: &'static str) -> Result<Vec<String>, Fault> {
        self.list(name)?
            .into_iter()
            .map(|(path, node)| text_of(node, &path).map(str::to_owned))
            .collect()
    }

    /// A mapping below this one.
    pub(crate) fn fields(&self, name: &'static str) -> Result<Option<Fields<'a>>, Fault> {
        self.node(name)
            .map(|node| Self::of(node, &self.path(name), self.unknown, self.warnings))
            .transpose()
    }

    /// Takes fields that are recognised and have no effect here.
    pub(crate) fn without_effect(&self, names: &[&'static str]) {
        for name in names {
            if let Some(node) = self.node(name) {
                self.warnings.add(format!(
                    "line {}: `{}`: accepted, no effect",
                    node.place.line,
                    self.path(name)
                ));
            }
        }
    }

    /// Refuses fields that are recognised, whose silence would mislead.
    pub(crate) fn not_supported(&self, names: &[&'static str]) -> Result<(), Fault> {
        match names.iter().find(|name| self.node(name).is_some()) {
            Some(name) => Err(not_supported(self.fault(
                name,
                format!("`{name}` is recognised and not supported yet"),
            ))),
            None => Ok(()),
        }
    }

    /// Ends the reading: what nobody asked for is warned about or refused.
    pub(crate) fn finish(&self) -> Result<(), Fault> {
        let known = self.known.borrow();
        for member in self
            .members
            .iter()
            .filter(|m| !known.contains(&m.key.as_str()))
        {
            let hint = nearest(&member.key, &known);
            let message = format!("unknown key `{}`", member.key);
            match self.unknown {
                Unknown::Refuse => {
                    let fault = wrong(member.place, &self.path(&member.key), message);
                    return Err(match hint {
                        Some(name) => fault.with_hint(format!("did you mean `{name}`?")),
                        None => fault.with_hint(format!("known: {}", known.join(", "))),
                    });
                }
                Unknown::Warn => self.warnings.add(format!(
                    "line {}: {message} in `{}` is kept, without effect{}",
                    member.place.line,
                    self.path,
                    hint.map(|name| format!("; did you mean `{name}`?"))
                        .unwrap_or_default()
                )),
            }
        }
        Ok(())
    }
}

/// Turns a fault into one about something recognised and not there yet.
pub(crate) fn not_supported(mut fault: Fault) -> Fault {
    fault.kind = dataos_model::fault::FaultKind::Unsupported;
    fault
}

/// The text of a scalar.
pub(crate) fn text_of<'a>(node: &'a Node, path: &str) -> Result<&'a str, Fault> {
    match &node.content {
        Content::Text(text) | Content::Number(text) => Ok(text),
        Content::Bool(true) => Ok("true"),
        Content::Bool(false) => Ok("false"),
        _ => Err(expected(node, path, "text")),
    }
}

/// The items of a list node, each with its path.
pub(crate) fn items_of<'a>(node: &'a Node, path: &str) -> Result<Vec<(String, &'a Node)>, Fault> {
    match &node.content {
        Content::List(items) => Ok(items
            .iter()
            .enumerate()
            .map(|(index, item)| (format!("{path}[{index}]"), item))
            .collect()),
        _ => Err(expected(node, path, "a list")),
    }
}

/// The known word that is at most two edits away, if there is one.
pub(crate) fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    known
        .iter()
        .map(|name| (distance(&word.to_lowercase(), &name.to_lowercase()), *name))
        .filter(|(edits, name)| *edits <= 2 && *edits < name.chars().count())
        .min()
        .map(|(_, name)| name)
}

/// Levenshtein's edit distance.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.chars().enumerate() {
        let mut next = vec![i + 1];
        for (j, b) in right.iter().enumerate() {
            let diagonal = row.get(j).copied().unwrap_or(0) + usize::from(a != *b);
            let above = row.get(j + 1).copied().unwrap_or(0) + 1;
            let beside = next.last().copied().unwrap_or(0) + 1;
            next.push(diagonal.min(above).min(beside));
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}
