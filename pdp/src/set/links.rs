//! Links within a set. Each is expanded to a policy of its own, which decides, is indexed and is
//! explained as if it had been written; a changed template makes all of its links anew in the same
//! next set.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use dataos_model::{
    clock::Timestamp,
    fault::{Fault, FaultKind, Location},
    hash::Hash,
    policy::PolicyLink,
};

use super::{PolicySet, Source};
use crate::{
    schema::BaseSchema,
    shards::Shards,
    source::{ID_BYTES_MAX, Loaded, LoadedTemplate, Origin, load},
};

/// Most templates in one set.
pub const TEMPLATES_MAX: usize = 10_000;
/// Most links in one set.
pub const LINKS_MAX: usize = 100_000;
/// Most links that an error names.
const NAMED_MAX: usize = 10;

/// Templates by id.
pub(super) type Templates = Shards<String, Arc<LoadedTemplate>>;

/// What a change of a set adds or replaces, and with `None` removes.
#[derive(Debug, Default)]
pub(crate) struct Change {
    /// Texts by name.
    pub texts: BTreeMap<String, Option<Arc<Source>>>,
    /// Links by id.
    pub links: BTreeMap<String, Option<PolicyLink>>,
}

/// The name of a link among the texts. No text has it: theirs have no colon, or end with `.cedar`, or
/// start with `policy:`.
pub(crate) fn source_name(id: &str) -> String {
    format!("link:{id}")
}

impl Source {
    /// The link that it is, if it is one.
    pub(crate) fn link(&self) -> Option<&PolicyLink> {
        self.link.as_ref()
    }

    fn linked(
        schema: &BaseSchema,
        link: &PolicyLink,
        template: &LoadedTemplate,
    ) -> Result<Arc<Self>, Fault> {
        if link.id.is_empty() || link.id.len() > ID_BYTES_MAX {
            let message = format!("the id of a link has 1 to {ID_BYTES_MAX} bytes (ID_BYTES_MAX)");
            return Err(Fault::invalid(message));
        }
        let text = template.expand(link)?;
        let source = format!("{} of {}", source_name(&link.id), link.template);
        let loaded = load(schema, &source, Origin::Applied, &text);
        let loaded = loaded.map_err(|problem| {
            // The place is one in a text that nobody wrote.
            let why = problem.message;
            Fault::invalid(format!(
                "the link `{}` of template `{}`: {why}",
                link.id, link.template
            ))
        })?;
        let policies = loaded.into_iter().filter_map(|loaded| match loaded {
            Loaded::Policy(policy) => Some(Arc::from(policy)),
            Loaded::Template(_) => None,
        });
        Ok(Arc::new(Self {
            digest: Hash::of_parts([schema.hash.0, template.digest.0, Hash::of(&text).0]),
            origin: Origin::Applied,
            text: None,
            policies: policies.collect(),
            templates: Vec::new(),
            link: Some(link.clone()),
        }))
    }
}

impl PolicySet {
    /// The next set under the same schema.
    ///
    /// # Errors
    /// What does not load; a link whose template is not there, or that its template does not fit any
    /// more: `Conflict` if the link is in force already.
    pub(crate) fn next(&self, change: Change, activated_at: Timestamp) -> Result<Self, Fault> {
        let Change { mut texts, links } = change;
        let (templates, touched) = self.next_templates(&texts)?;
        let mut changed: BTreeMap<String, Option<Arc<Source>>> = BTreeMap::new();
        if !touched.is_empty() {
            let standing = self.links().filter(|link| !links.contains_key(&link.id));
            let mut standing: Vec<&PolicyLink> = standing
                .filter(|link| touched.contains(&link.template))
                .collect();
            // So that of several problems always the same one is told.
            standing.sort_by(|left, right| left.id.cmp(&right.id));
            refuse_orphans(&standing, &templates)?;
            for link in standing {
                let unfit = |fault: Fault| {
                    let (id, why) = (&link.id, fault.message);
                    let message = format!("the link `{id}` would not fit any more: {why}");
                    Fault::new(FaultKind::Conflict, message)
                        .with_hint("change or remove the link first, or keep the template")
                };
                let source = self.linked(link, &templates).map_err(unfit)?;
                changed.insert(source_name(&link.id), Some(source));
            }
        }
        for (id, link) in &links {
            let source = link.as_ref().map(|link| self.linked(link, &templates));
            changed.insert(source_name(id), source.transpose()?);
        }
        texts.extend(changed);
        let mut next = self.with(texts, activated_at)?;
        if !links.is_empty() && next.links().count() > LINKS_MAX {
            let message = format!("more than {LINKS_MAX} links (LINKS_MAX)");
            return Err(Fault::new(FaultKind::TooLarge, message));
        }
        if let Some((id, template)) = templates
            .iter()
            .find(|(id, _)| next.get(id.as_str()).is_some())
        {
            let message = format!(
                "@id(\"{id}\") is a template in {}, and a policy",
                template.source
            );
            return Err(Fault::invalid(message).with_hint("give one of them another id"));
        }
        next.templates = templates;
        Ok(next)
    }

    /// The templates after a change of texts, and the ids of those that differ from before.
    fn next_templates(
        &self,
        texts: &BTreeMap<String, Option<Arc<Source>>>,
    ) -> Result<(Templates, BTreeSet<String>), Fault> {
        let mut templates = self.templates.clone();
        let mut touched = BTreeSet::new();
        let before = texts.keys().filter_map(|name| self.source(name));
        for template in before.flat_map(|source| &source.templates) {
            templates.remove(&template.id);
            touched.insert(template.id.clone());
        }
        for template in texts
            .values()
            .flatten()
            .flat_map(|source| &source.templates)
        {
            if let Some(other) = templates.insert(template.id.clone(), Arc::clone(template)) {
                let (id, place) = (&template.id, &other.source);
                let message = format!(
                    "{}: @id(\"{id}\") is already used in {place}",
                    template.source
                );
                return Err(Fault::invalid(message));
            }
            touched.insert(template.id.clone());
        }
        if !touched.is_empty() && templates.iter().count() > TEMPLATES_MAX {
            let message = format!("more than {TEMPLATES_MAX} templates (TEMPLATES_MAX)");
            return Err(Fault::new(FaultKind::TooLarge, message));
        }
        let digest = |templates: &Templates, id: &String| templates.get(id).map(|t| t.digest);
        touched.retain(|id| digest(&templates, id) != digest(&self.templates, id));
        Ok((templates, touched))
    }

    fn linked(&self, link: &PolicyLink, templates: &Templates) -> Result<Arc<Source>, Fault> {
        let template = templates.get(&link.template).ok_or_else(|| {
            Fault::invalid(format!("there is no template `{}`", link.template))
                .at(Location {
                    field: Some("template".to_owned()),
                    ..Location::default()
                })
                .with_hint("GET /api/v1/policy-templates lists them")
        })?;
        Source::linked(&self.schema, link, template)
    }

    /// All links, in no order.
    pub(crate) fn links(&self) -> impl Iterator<Item = &PolicyLink> {
        self.sources().filter_map(|(_, source)| source.link())
    }

    /// All templates, in no order.
    pub(crate) fn templates(&self) -> impl Iterator<Item = &Arc<LoadedTemplate>> {
        self.templates.iter().map(|(_, template)| template)
    }
}

/// Links whose template goes.
fn refuse_orphans(links: &[&PolicyLink], templates: &Templates) -> Result<(), Fault> {
    let orphans: Vec<&PolicyLink> = links
        .iter()
        .copied()
        .filter(|link| templates.get(&link.template).is_none())
        .collect();
    let Some(first) = orphans.first() else {
        return Ok(());
    };
    let named: Vec<&str> = orphans
        .iter()
        .take(NAMED_MAX)
        .map(|l| l.id.as_str())
        .collect();
    let more = orphans.len().saturating_sub(NAMED_MAX);
    let more = if more == 0 {
        String::new()
    } else {
        format!(" and {more} more")
    };
    let message = format!(
        "the template `{}` is used by the links {}{more}",
        first.template,
        named.join(", ")
    );
    Err(Fault::new(FaultKind::Conflict, message)
        .with_hint("remove the links first, or keep the template"))
}
