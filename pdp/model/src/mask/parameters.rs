//! Parameters of a mask, read by name.

use std::ops::RangeInclusive;

use super::{BUCKETS_MAX, DatePrecision, Mask, MaskError, PATHS_MAX, PATTERN_LENGTH_MAX};
use crate::annotation::{Call, Literal};

/// Takes parameters by name and refuses what is left over.
pub(super) struct Parameters<'a> {
    call: &'a Call,
    taken: Vec<&'static str>,
}

impl<'a> Parameters<'a> {
    /// The parameters of a call, none of them read.
    pub(super) fn of(call: &'a Call) -> Self {
        Self {
            call,
            taken: Vec::new(),
        }
    }

    fn error(&self, problem: impl Into<String>) -> MaskError {
        MaskError::Parameter {
            operator: self.call.operator.clone(),
            problem: problem.into(),
        }
    }

    fn optional(&mut self, name: &'static str) -> Option<&'a Literal> {
        self.taken.push(name);
        self.call.parameters.get(name)
    }

    pub(super) fn required(&mut self, name: &'static str) -> Result<&'a Literal, MaskError> {
        self.optional(name)
            .ok_or_else(|| self.error(format!("parameter `{name}` is missing")))
    }

    pub(super) fn text(
        &mut self,
        name: &'static str,
        default: Option<&str>,
    ) -> Result<String, MaskError> {
        match (self.optional(name), default) {
            (Some(Literal::Text(text)), _) => Ok(text.clone()),
            (None, Some(default)) => Ok(default.to_owned()),
            (None, None) => Err(self.error(format!("parameter `{name}` is missing"))),
            (Some(_), _) => Err(self.error(format!("parameter `{name}` must be text"))),
        }
    }

    pub(super) fn count(&mut self, name: &'static str) -> Result<u32, MaskError> {
        match self.optional(name) {
            None => Ok(0),
            Some(Literal::Integer(count)) => u32::try_from(*count)
                .map_err(|_| self.error(format!("parameter `{name}` must be 0 or more"))),
            Some(_) => Err(self.error(format!("parameter `{name}` must be an integer"))),
        }
    }

    pub(super) fn hash(&mut self) -> Result<Mask, MaskError> {
        match self.text("algo", Some("sha256"))?.as_str() {
            "sha256" => Ok(Mask::Hash),
            other => Err(self.error(format!("algo `{other}` is not offered; use 'sha256'"))),
        }
    }

    pub(super) fn buckets(&mut self) -> Result<Vec<Literal>, MaskError> {
        let Literal::List(items) = self.required("buckets")? else {
            return Err(self.error("parameter `buckets` must be a list of numbers"));
        };
        if items.is_empty() || items.len() > BUCKETS_MAX {
            return Err(self.error(format!("`buckets` must hold 1 to {BUCKETS_MAX} bounds")));
        }
        let mut bounds = Vec::with_capacity(items.len());
        for item in items {
            let bound = match item {
                Literal::Integer(value) => value.to_string(),
                Literal::Decimal(text) => text.clone(),
                _ => return Err(self.error("every bucket must be a number")),
            };
            let order: f64 = bound
                .parse()
                .map_err(|_| self.error("every bucket must be a number"))?;
            bounds.push((order, item.clone()));
        }
        bounds.sort_by(|left, right| left.0.total_cmp(&right.0));
        bounds.dedup_by(|left, right| left.0 == right.0);
        Ok(bounds.into_iter().map(|(_, literal)| literal).collect())
    }

    pub(super) fn precision(&mut self) -> Result<DatePrecision, MaskError> {
        let word = self.text("precision", None)?;
        [
            DatePrecision::Hour,
            DatePrecision::Day,
            DatePrecision::Week,
            DatePrecision::Month,
            DatePrecision::Year,
        ]
        .into_iter()
        .find(|precision| precision.name() == word)
        .ok_or_else(|| self.error("precision is hour, day, week, month or year"))
    }

    pub(super) fn finish(self) -> Result<(), MaskError> {
        match self
            .call
            .parameters
            .keys()
            .find(|key| !self.taken.contains(&key.as_str()))
        {
            None => Ok(()),
            Some(key) => Err(self.error(format!("unknown parameter `{key}`"))),
        }
    }

    /// A pattern of bounded length.
    pub(super) fn pattern(&mut self) -> Result<String, MaskError> {
        let pattern = self.text("pattern", None)?;
        if (1..=PATTERN_LENGTH_MAX).contains(&pattern.chars().count()) {
            return Ok(pattern);
        }
        Err(self.error(format!(
            "`pattern` must have 1 to {PATTERN_LENGTH_MAX} characters"
        )))
    }

    /// A whole number within bounds.
    pub(super) fn within(
        &mut self,
        name: &'static str,
        default: u32,
        bounds: RangeInclusive<u32>,
    ) -> Result<u32, MaskError> {
        let value = match self.optional(name) {
            None => Some(default),
            Some(Literal::Integer(value)) => u32::try_from(*value).ok(),
            Some(_) => None,
        };
        value.filter(|value| bounds.contains(value)).ok_or_else(|| {
            let (low, high) = (bounds.start(), bounds.end());
            self.error(format!(
                "`{name}` must be a whole number of {low} to {high}"
            ))
        })
    }

    /// A number above zero.
    pub(super) fn positive(&mut self, name: &'static str) -> Result<Literal, MaskError> {
        let literal = self.required(name)?;
        match number(literal) {
            Some(value) if value > 0.0 => Ok(literal.clone()),
            _ => Err(self.error(format!("`{name}` must be a number above 0"))),
        }
    }

    pub(super) fn clamp(&mut self) -> Result<Mask, MaskError> {
        let (low, high) = (self.required("low")?, self.required("high")?);
        match (number(low), number(high)) {
            (Some(least), Some(most)) if least <= most => {
                Ok(Mask::Clamp(low.clone(), high.clone()))
            }
            _ => Err(self.error("`low` and `high` must be numbers in this order")),
        }
    }

    /// Paths into JSON: names with points between them.
    pub(super) fn paths(&mut self) -> Result<Vec<String>, MaskError> {
        let Literal::List(items) = self.required("paths")? else {
            return Err(self.error("`paths` must be a list of texts, such as ['a.b', 'c']"));
        };
        if items.is_empty() || items.len() > PATHS_MAX {
            return Err(self.error(format!("`paths` must hold 1 to {PATHS_MAX} paths")));
        }
        let paths = items.iter().map(|item| match item {
            Literal::Text(path) if path.split('.').all(|name| !name.is_empty()) => Ok(path.clone()),
            _ => Err(self.error("a path is names with points between them")),
        });
        paths.collect()
    }
}

/// The size of a number, for comparisons alone.
fn number(literal: &Literal) -> Option<f64> {
    match literal {
        Literal::Integer(value) => value.to_string().parse().ok(),
        Literal::Decimal(text) => text.parse().ok(),
        Literal::Bool(_) | Literal::Text(_) | Literal::List(_) => None,
    }
}
