//! YAML policies to Cedar text: access, data mask, data filter and the rule form.
//!
//! A manifest is never read more permissively than it is written: what cannot be said exactly in
//! Cedar is refused with what to write instead.

mod access;
mod cedar;
mod condition;
mod data;
mod filter;
mod mask;
mod object;
mod rule;
mod subject;

use dataos_model::fault::Fault;

use self::cedar::Policy;
pub(crate) use self::filter::{Filter, print_filters};
use crate::fields::Fields;

/// What a policy compiles to.
#[derive(Clone, Debug)]
pub(crate) enum Compiled {
    /// Cedar text that means the same whatever else is in force.
    Alone {
        cedar: String,
        /// Whether it opens anything.
        is_permitting: bool,
    },
    /// A row filter: it hides nothing where one of a better priority applies.
    Filter(Filter),
}

impl Compiled {
    fn alone(policies: &[Policy]) -> Self {
        Self::Alone {
            cedar: cedar::print(policies),
            is_permitting: policies.iter().any(|policy| policy.is_permit),
        }
    }

    /// The Cedar text; of a filter, as if there were no other.
    pub(crate) fn cedar(&self) -> String {
        match self {
            Self::Alone { cedar, .. } => cedar.clone(),
            Self::Filter(filter) => filter.cedar(),
        }
    }
}

/// Compiles the `policy` section of the resource `name`.
pub(crate) fn compile(
    fields: &Fields<'_>,
    name: &str,
    description: &str,
) -> Result<Compiled, Fault> {
    let envelope = Envelope {
        name: name.to_owned(),
        description: description.to_owned(),
    };
    let compiled = match (
        fields.node("access"),
        fields.node("data"),
        fields.node("rules"),
    ) {
        (Some(_), None, None) => {
            let section = fields
                .fields("access")?
                .ok_or_else(|| fields.missing("access"))?;
            Compiled::alone(&access::compile(&section, envelope)?)
        }
        (None, Some(_), None) => {
            let section = fields
                .fields("data")?
                .ok_or_else(|| fields.missing("data"))?;
            data::compile(&section, envelope)?
        }
        (None, None, Some(_)) => {
            if fields.text("type")?.is_some_and(|word| word != "data") {
                return Err(fields.fault("type", "policies with `rules` are of type data"));
            }
            Compiled::alone(&rule::compile(fields, &envelope)?)
        }
        _ => {
            return Err(fields
                .fault(
                    "",
                    "a policy has exactly one of `access`, `data` and `rules`",
                )
                .with_hint("write one policy per document"));
        }
    };
    fields.finish()?;
    Ok(compiled)
}

/// What identifies the policies of one manifest.
struct Envelope {
    name: String,
    description: String,
}

impl Envelope {
    /// `name` and `description` inside the section: the first is for show, the second is used if
    /// the document has none.
    fn read_inner(&mut self, fields: &Fields<'_>) -> Result<(), Fault> {
        fields.text("name")?;
        if let Some(text) = fields
            .text("description")?
            .filter(|_| self.description.is_empty())
        {
            text.clone_into(&mut self.description);
        }
        Ok(())
    }

    /// The id of the only policy.
    fn id(&self) -> String {
        format!("policy:{}", self.name)
    }

    /// The id of a filter: another one than a policy of another kind would have, so that both can be
    /// in force while one takes the place of the other.
    fn filter(&self) -> String {
        format!("policy:{}:filter", self.name)
    }

    /// The id of one of several, from 1.
    fn numbered(&self, number: usize) -> String {
        format!("policy:{}:{number}", self.name)
    }
}

#[cfg(test)]
mod tests;
