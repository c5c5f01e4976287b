//! The schema that a file carries: the shape of its values, and what some of them mean.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use serde_json::{Map, Value};

use crate::{Problem, shown};

/// Deepest nesting of types. Values are passed over by recursion of this depth.
const DEPTH_MAX: usize = 64;

/// The type of a value.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) shape: Shape,
    pub(crate) logical: Option<Logical>,
    /// How many types lie one in the other, with itself.
    depth: usize,
    /// Whether its values take no bytes. All others take at least one.
    pub(crate) is_empty: bool,
}

/// How the values of a type lie in a file.
#[derive(Debug)]
pub(crate) enum Shape {
    Null,
    Bool,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    Text,
    Fixed(usize),
    Enum(Arc<[String]>),
    Array(Arc<Node>),
    Map(Arc<Node>),
    /// Fields whose values take bytes, in order.
    Record(Vec<Arc<Node>>),
    Union(Vec<Arc<Node>>),
}

/// What a value means besides what it is. Of the types that Avro names, all that change the meaning of a value:
/// what is not known here is, as the format says, what it is without.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Logical {
    Decimal {
        precision: u8,
        scale: u8,
    },
    Date,
    Timestamp {
        unit: Unit,
        is_local: bool,
    },
    Uuid,
    /// Has no form in the catalog.
    Unread(String),
}

/// What a timestamp counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Millisecond,
    Microsecond,
    Nanosecond,
}

/// A column: a field of the record that a row is.
#[derive(Clone, Debug)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) node: Arc<Node>,
}

/// The columns of a schema in JSON.
pub(crate) fn parse(json: &[u8]) -> Result<Vec<Field>, Problem> {
    let schema: Value = serde_json::from_slice(json)
        .map_err(|error| Problem::damaged(format!("its schema is no JSON: {error}")))?;
    let Some(object) = schema.as_object().filter(|object| is_record(object)) else {
        let text = "its schema is not a record, whose fields would be columns";
        return Err(Problem::unsupported(text));
    };
    let name = full_name(object, "")?;
    let mut parser = Parser::default();
    parser.named.insert(name.clone(), None);
    let fields = parser.record(object, space_of(&name))?;
    let mut seen = HashSet::new();
    for field in &fields {
        if !seen.insert(&field.name) {
            let text = format!("column `{}` appears twice", shown(&field.name));
            return Err(Problem::unsupported(text));
        }
    }
    if fields.iter().all(|field| field.node.is_empty) {
        return Err(Problem::unsupported("its rows hold no values"));
    }
    Ok(fields)
}

fn is_record(object: &Map<String, Value>) -> bool {
    matches!(
        object.get("type").and_then(Value::as_str),
        Some("record" | "error")
    )
}

/// Types by their full names. One that is being read has none yet: it may not hold itself.
#[derive(Default)]
struct Parser {
    named: HashMap<String, Option<Arc<Node>>>,
}

impl Parser {
    /// `value` is nested as deep as the JSON parser lets it be, 128 levels.
    fn node(&mut self, value: &Value, namespace: &str) -> Result<Arc<Node>, Problem> {
        match value {
            Value::String(name) => match primitive(name) {
                Some(shape) => Node::new(shape, None),
                None => self.reference(name, namespace),
            },
            Value::Array(branches) => {
                let branches = branches.iter().map(|branch| self.node(branch, namespace));
                Node::new(Shape::Union(branches.collect::<Result<_, _>>()?), None)
            }
            Value::Object(object) => self.object(object, namespace),
            _ => Err(Problem::damaged(
                "its schema has a type that is no name, object or list",
            )),
        }
    }

    fn object(
        &mut self,
        object: &Map<String, Value>,
        namespace: &str,
    ) -> Result<Arc<Node>, Problem> {
        let kind = match object.get("type") {
            Some(Value::String(kind)) => kind,
            Some(inner) => return self.node(inner, namespace),
            None => return Err(Problem::damaged("its schema has an object without a type")),
        };
        match kind.as_str() {
            "array" => {
                let items = self.node(member(object, "items")?, namespace)?;
                Node::new(Shape::Array(items), None)
            }
            "map" => {
                let values = self.node(member(object, "values")?, namespace)?;
                Node::new(Shape::Map(values), None)
            }
            "record" | "error" | "enum" | "fixed" => self.definition(kind, object, namespace),
            kind => match primitive(kind) {
                Some(shape) => {
                    let logical = logical(object, &shape);
                    Node::new(shape, logical)
                }
                None => self.reference(kind, namespace),
            },
        }
    }

    /// A type that has a name.
    fn definition(
        &mut self,
        kind: &str,
        object: &Map<String, Value>,
        namespace: &str,
    ) -> Result<Arc<Node>, Problem> {
        let name = full_name(object, namespace)?;
        if self.named.insert(name.clone(), None).is_some() {
            let text = format!("its schema defines `{}` twice", shown(&name));
            return Err(Problem::damaged(text));
        }
        let (shape, logical) = match kind {
            "enum" => (Shape::Enum(symbols(object)?), None),
            "fixed" => {
                let size = member(object, "size")?.as_u64();
                let size = size.and_then(|size| usize::try_from(size).ok());
                let size =
                    size.ok_or_else(|| Problem::damaged("its schema has a size that is none"))?;
                let shape = Shape::Fixed(size);
                let logical = logical(object, &shape);
                (shape, logical)
            }
            _ => {
                let fields = self.record(object, space_of(&name))?;
                let nodes = fields.into_iter().map(|field| field.node);
                let nodes = nodes.filter(|node| !node.is_empty);
                (Shape::Record(nodes.collect()), None)
            }
        };
        let node = Node::new(shape, logical)?;
        self.named.insert(name, Some(Arc::clone(&node)));
        Ok(node)
    }

    fn record(
        &mut self,
        object: &Map<String, Value>,
        namespace: &str,
    ) -> Result<Vec<Field>, Problem> {
        let Value::Array(fields) = member(object, "fields")? else {
            return Err(Problem::damaged(
                "its schema has a record without a list of fields",
            ));
        };
        let field = |field: &Value| {
            let object = field.as_object();
            let object = object
                .ok_or_else(|| Problem::damaged("its schema has a field that is no object"))?;
            Ok(Field {
                name: text(object, "name")?.to_owned(),
                node: self.node(member(object, "type")?, namespace)?,
            })
        };
        fields.iter().map(field).collect()
    }

    fn reference(&self, name: &str, namespace: &str) -> Result<Arc<Node>, Problem> {
        let in_namespace = match name.contains('.') || namespace.is_empty() {
            true => name.to_owned(),
            false => format!("{namespace}.{name}"),
        };
        let found = self
            .named
            .get(&in_namespace)
            .or_else(|| self.named.get(name));
        match found {
            Some(Some(node)) => Ok(Arc::clone(node)),
            Some(None) => Err(Problem::unsupported(format!(
                "its schema is recursive: `{}` holds itself",
                shown(name)
            ))),
            None => Err(Problem::damaged(format!(
                "its schema names the type `{}`, which it does not define before",
                shown(name)
            ))),
        }
    }
}

impl Node {
    fn new(shape: Shape, logical: Option<Logical>) -> Result<Arc<Self>, Problem> {
        let depth = 1 + match &shape {
            Shape::Array(node) | Shape::Map(node) => node.depth,
            Shape::Record(nodes) | Shape::Union(nodes) => {
                nodes.iter().map(|node| node.depth).max().unwrap_or(0)
            }
            _ => 0,
        };
        if depth > DEPTH_MAX {
            let text = format!("its schema nests types deeper than {DEPTH_MAX} levels");
            return Err(Problem::unsupported(text));
        }
        let is_empty = match &shape {
            Shape::Null => true,
            Shape::Fixed(size) => *size == 0,
            Shape::Record(nodes) => nodes.is_empty(),
            _ => false,
        };
        Ok(Arc::new(Self {
            shape,
            logical,
            depth,
            is_empty,
        }))
    }
}

fn primitive(name: &str) -> Option<Shape> {
    Some(match name {
        "null" => Shape::Null,
        "boolean" => Shape::Bool,
        "int" => Shape::Int,
        "long" => Shape::Long,
        "float" => Shape::Float,
        "double" => Shape::Double,
        "bytes" => Shape::Bytes,
        "string" => Shape::Text,
        _ => return None,
    })
}

fn logical(object: &Map<String, Value>, shape: &Shape) -> Option<Logical> {
    let timestamp = |unit, is_local| Some(Logical::Timestamp { unit, is_local });
    let name = object.get("logicalType")?.as_str()?;
    match (name, shape) {
        ("decimal", Shape::Bytes | Shape::Fixed(_)) => Some(decimal(object)),
        ("date", Shape::Int) => Some(Logical::Date),
        ("timestamp-millis", Shape::Long) => timestamp(Unit::Millisecond, false),
        ("timestamp-micros", Shape::Long) => timestamp(Unit::Microsecond, false),
        ("timestamp-nanos", Shape::Long) => timestamp(Unit::Nanosecond, false),
        ("local-timestamp-millis", Shape::Long) => timestamp(Unit::Millisecond, true),
        ("local-timestamp-micros", Shape::Long) => timestamp(Unit::Microsecond, true),
        ("local-timestamp-nanos", Shape::Long) => timestamp(Unit::Nanosecond, true),
        ("uuid", Shape::Text | Shape::Fixed(16)) => Some(Logical::Uuid),
        ("time-millis", Shape::Int)
        | ("time-micros", Shape::Long)
        | ("duration", Shape::Fixed(12))
        | ("big-decimal", Shape::Bytes) => Some(Logical::Unread(name.to_owned())),
        _ => None,
    }
}

fn decimal(object: &Map<String, Value>) -> Logical {
    let digits = |name| object.get(name).and_then(Value::as_u64);
    let precision = digits("precision").unwrap_or(0);
    let scale = if object.contains_key("scale") {
        digits("scale")
    } else {
        Some(0)
    };
    match (
        u8::try_from(precision),
        scale.and_then(|scale| u8::try_from(scale).ok()),
    ) {
        (Ok(precision @ 1..=38), Some(scale)) if scale <= precision => {
            Logical::Decimal { precision, scale }
        }
        _ => Logical::Unread(match scale {
            Some(scale) => format!("decimal({precision},{scale})"),
            None => "decimal".to_owned(),
        }),
    }
}

fn symbols(object: &Map<String, Value>) -> Result<Arc<[String]>, Problem> {
    let wrong = || Problem::damaged("its schema has an enum without a list of symbols");
    let symbols = member(object, "symbols")?.as_array().ok_or_else(wrong)?;
    let symbols = symbols
        .iter()
        .map(|symbol| symbol.as_str().map(str::to_owned));
    symbols.collect::<Option<_>>().ok_or_else(wrong)
}

fn full_name(object: &Map<String, Value>, namespace: &str) -> Result<String, Problem> {
    let name = text(object, "name")?;
    let namespace = match object.get("namespace") {
        Some(_) => text(object, "namespace")?,
        None => namespace,
    };
    Ok(match name.contains('.') || namespace.is_empty() {
        true => name.to_owned(),
        false => format!("{namespace}.{name}"),
    })
}

/// The namespace of a full name, in which the names within its type are.
fn space_of(name: &str) -> &str {
    name.rsplit_once('.').map_or("", |(space, _)| space)
}

fn text<'a>(object: &'a Map<String, Value>, name: &str) -> Result<&'a str, Problem> {
    let found = member(object, name)?.as_str();
    found.ok_or_else(|| Problem::damaged(format!("its schema has a `{name}` that is no text")))
}

fn member<'a>(object: &'a Map<String, Value>, name: &str) -> Result<&'a Value, Problem> {
    let found = object.get(name);
    found.ok_or_else(|| Problem::damaged(format!("its schema has a type without `{name}`")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(fields: &str, expected: Result<&[&str], &str>) {
        let json = format!(r#"{{"type":"record","name":"a.b.row","fields":[{fields}]}}"#);
        match (parse(json.as_bytes()), expected) {
            (Ok(fields), Ok(expected)) => {
                let found = fields
                    .iter()
                    .map(|field| format!("{:?} {:?}", field.node.shape, field.node.logical));
                let found: Vec<String> = found.collect();
                assert_eq!(found, expected, "{json}");
            }
            (Err(problem), Err(expected)) => {
                let text = problem.to_string();
                assert!(text.contains(expected), "{json}: {text}");
            }
            (found, _) => panic!("{json}: {found:?}"),
        }
    }

    #[test]
    fn names_are_those_of_their_namespaces() {
        let fixed = r#"{"name":"x","type":{"type":"fixed","name":"f","size":2}}"#;
        let both: &[&str] = &["Fixed(2) None", "Fixed(2) None"];
        for reference in ["f", "a.b.f"] {
            check(
                &format!(r#"{fixed},{{"name":"y","type":"{reference}"}}"#),
                Ok(both),
            );
        }
        for reference in ["b.f", "g"] {
            let text = "does not define before";
            check(
                &format!(r#"{fixed},{{"name":"y","type":"{reference}"}}"#),
                Err(text),
            );
        }
        check(
            &format!(r#"{fixed},{}"#, fixed.replace("\"x\"", "\"y\"")),
            Err("defines `a.b.f` twice"),
        );
        let elsewhere = fixed.replace("\"size\"", "\"namespace\":\"c\",\"size\"");
        check(
            &format!(r#"{elsewhere},{{"name":"y","type":"c.f"}}"#),
            Ok(both),
        );
        check(
            r#"{"name":"x","type":["null","a.b.row"]}"#,
            Err("recursive"),
        );
        check(r#"{"name":"x","type":["null","row"]}"#, Err("recursive"));
    }

    #[test]
    fn what_a_logical_type_does_not_fit_it_does_not_change() {
        let of =
            |kind: &str, more: &str| format!(r#"{{"name":"x","type":{{"type":"{kind}",{more}}}}}"#);
        for (kind, more, expected) in [
            ("int", r#""logicalType":"date""#, "Int Some(Date)"),
            ("long", r#""logicalType":"date""#, "Long None"),
            ("string", r#""logicalType":"uuid""#, "Text Some(Uuid)"),
            ("string", r#""logicalType":7"#, "Text None"),
            (
                "bytes",
                r#""logicalType":"decimal","precision":9"#,
                "Bytes Some(Decimal { precision: 9, scale: 0 })",
            ),
            (
                "bytes",
                r#""logicalType":"decimal","precision":3,"scale":4"#,
                r#"Bytes Some(Unread("decimal(3,4)"))"#,
            ),
            (
                "bytes",
                r#""logicalType":"decimal","precision":3,"scale":-1"#,
                r#"Bytes Some(Unread("decimal"))"#,
            ),
        ] {
            check(&of(kind, more), Ok(&[expected]));
        }
    }

    #[test]
    fn what_is_no_schema_is_refused() {
        for (field, expected) in [
            (r#"7"#, "a field that is no object"),
            (r#"{"type":"int"}"#, "a type without `name`"),
            (r#"{"name":"x"}"#, "a type without `type`"),
            (r#"{"name":7,"type":"int"}"#, "a `name` that is no text"),
            (r#"{"name":"x","type":7}"#, "no name, object or list"),
            (r#"{"name":"x","type":{}}"#, "an object without a type"),
            (r#"{"name":"x","type":{"type":"array"}}"#, "without `items`"),
            (
                r#"{"name":"x","type":{"type":"fixed","name":"f","size":-1}}"#,
                "a size that is none",
            ),
            (
                r#"{"name":"x","type":{"type":"enum","name":"e","symbols":[1]}}"#,
                "list of symbols",
            ),
            (
                r#"{"name":"x","type":{"type":"record","name":"r","fields":1}}"#,
                "list of fields",
            ),
        ] {
            check(field, Err(expected));
        }
    }
}
