//! YAML policies to Cedar text: access, data mask, data filter and the rule form.
//!
//! A manifest is never read more permissively than it is written: what cannot be said exactly in
//! Cedar is refused with what to write instead.

mod access;
mod cedar;
mod condition;
mod data;
mod mask;
mod object;
mod rule;
mod subject;

use dataos_model::fault::Fault;

use crate::fields::Fields;

/// Compiles the `policy` section of the resource `name`.
pub(crate) fn compile(fields: &Fields<'_>, name: &str, description: &str) -> Result<String, Fault> {
    let envelope = Envelope {
        name: name.to_owned(),
        description: description.to_owned(),
    };
    let texts = match (
        fields.node("access"),
        fields.node("data"),
        fields.node("rules"),
    ) {
        (Some(_), None, None) => {
            let section = fields
                .fields("access")?
                .ok_or_else(|| fields.missing("access"))?;
            access::compile(&section, envelope)?
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
            rule::compile(fields, &envelope)?
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
    Ok(cedar::print(&texts))
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

    /// The id of one of several, from 1.
    fn numbered(&self, number: usize) -> String {
        format!("policy:{}:{number}", self.name)
    }
}

#[cfg(test)]
mod tests;
