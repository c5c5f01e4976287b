//! Search by words over names, columns, tags and descriptions.
//!
//! Names fall apart at case changes, digits and everything that is neither: `customerEmail2` and
//! `customer_email_2` give the same words. A word of the query matches a word that starts with it;
//! all words must match. What the caller may not see is left out before anything is ranked.

use std::collections::BTreeMap;

use dataos_model::{
    dataset::DatasetId,
    depot::{Dataset, Depot},
};

/// Longest query that is looked at, in characters; the rest is ignored.
const QUERY_CHARACTERS_MAX: usize = 256;
/// Most words of a query; the rest is ignored.
const QUERY_WORDS_MAX: usize = 16;

/// Weight of a match by where it was found.
const NAME_WEIGHT: u32 = 12;
const PLACE_WEIGHT: u32 = 5;
const TAG_WEIGHT: u32 = 6;
const COLUMN_WEIGHT: u32 = 4;
const DESCRIPTION_WEIGHT: u32 = 1;
/// A whole word counts this much more than a prefix.
const WHOLE_FACTOR: u32 = 2;

/// The words of one dataset with the best weight of each.
#[derive(Clone, Debug, Default)]
pub(crate) struct Document {
    weights: BTreeMap<String, u32>,
}

impl Document {
    /// The words of a dataset and of its depot.
    pub(crate) fn new(dataset: &Dataset, depot: Option<&Depot>) -> Self {
        let mut document = Self::default();
        document.add(&dataset.id.name, NAME_WEIGHT);
        document.add(&dataset.id.collection, PLACE_WEIGHT);
        document.add(&dataset.id.depot, PLACE_WEIGHT);
        for tag in dataset
            .tags
            .iter()
            .chain(dataset.column_tags.values().flatten())
        {
            document.add(tag, TAG_WEIGHT);
        }
        for column in &dataset.schema.columns {
            document.add(&column.name, COLUMN_WEIGHT);
        }
        if let Some(depot) = depot {
            document.add(&depot.description, DESCRIPTION_WEIGHT);
            depot
                .tags
                .iter()
                .for_each(|tag| document.add(tag, DESCRIPTION_WEIGHT));
        }
        document
    }

    fn add(&mut self, text: &str, weight: u32) {
        for word in words(text) {
            let best = self.weights.entry(word).or_default();
            *best = weight.max(*best);
        }
    }

    /// The score of a query; `None` if a word does not match.
    fn score(&self, query: &[String]) -> Option<u32> {
        query.iter().map(|word| self.score_word(word)).sum()
    }

    fn score_word(&self, wanted: &str) -> Option<u32> {
        self.weights
            .range(wanted.to_owned()..)
            .take_while(|(word, _)| word.starts_with(wanted))
            .map(|(word, weight)| {
                if word == wanted {
                    weight * WHOLE_FACTOR
                } else {
                    *weight
                }
            })
            .max()
    }
}

/// Ids of the visible datasets that match all words, best first; all visible ones by name if there
/// are no words.
pub(crate) fn search<'a>(
    documents: impl Iterator<Item = (&'a DatasetId, &'a Document)>,
    text: &str,
    limit: usize,
    is_visible: &dyn Fn(&DatasetId) -> bool,
) -> Vec<DatasetId> {
    let text: String = text.chars().take(QUERY_CHARACTERS_MAX).collect();
    let mut query = words(&text);
    query.truncate(QUERY_WORDS_MAX);
    if query.is_empty() && !text.trim().is_empty() {
        return Vec::new();
    }
    let mut hits: Vec<(u32, &DatasetId)> = documents
        .filter(|(id, _)| is_visible(id))
        .filter_map(|(id, document)| Some((document.score(&query)?, id)))
        .collect();
    hits.sort_by(|(score_a, id_a), (score_b, id_b)| score_b.cmp(score_a).then(id_a.cmp(id_b)));
    hits.into_iter()
        .take(limit)
        .map(|(_, id)| id.clone())
        .collect()
}

/// The words of an identifier or text, in lower case.
fn words(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut word = String::new();
    let mut former = None;
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        let starts = former.is_some_and(|f| starts_word(f, c, characters.peek().copied()));
        if (starts || !c.is_alphanumeric()) && !word.is_empty() {
            found.push(std::mem::take(&mut word));
        }
        if c.is_alphanumeric() {
            word.extend(c.to_lowercase());
        }
        former = Some(c);
    }
    if !word.is_empty() {
        found.push(word);
    }
    found
}

/// Whether `c` begins a word after `former`: `aB`, `a1`, `1a`, and the last capital of `HTTPServer`.
fn starts_word(former: char, c: char, next: Option<char>) -> bool {
    (former.is_lowercase() && c.is_uppercase())
        || (former.is_numeric() != c.is_numeric())
        || (former.is_uppercase() && c.is_uppercase() && next.is_some_and(char::is_lowercase))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_fall_apart() {
        for (text, expected) in [
            ("customer_email", vec!["customer", "email"]),
            ("customerEmail2", vec!["customer", "email", "2"]),
            ("HTTPServer", vec!["http", "server"]),
            ("PII.email", vec!["pii", "email"]),
            ("Größe", vec!["größe"]),
            ("--", vec![]),
        ] {
            assert_eq!(words(text), expected, "{text}");
        }
    }
}
