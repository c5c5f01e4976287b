//! Figures: measured once, printed as a table, kept as JSON.

use std::{fs, io, path::Path};

use serde::Serialize;

/// A bar that an issue or a design page sets.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Goal {
    /// The value must not be above this.
    AtMost(f64),
    /// The value must not be below this.
    AtLeast(f64),
}

/// One measured figure.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Figure {
    name: String,
    value: f64,
    unit: &'static str,
    goal: Option<Goal>,
    /// Whether the goal is met; `None` without a goal.
    ok: Option<bool>,
    /// What a ratio is relative to.
    ratio_to: Option<String>,
}

impl Figure {
    /// A figure without a goal.
    pub(crate) fn new(name: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self {
            name: name.into(),
            value,
            unit,
            goal: None,
            ok: None,
            ratio_to: None,
        }
    }

    /// A ratio to `peer`.
    pub(crate) fn ratio(name: impl Into<String>, value: f64, peer: &str) -> Self {
        Self {
            ratio_to: Some(peer.to_owned()),
            ..Self::new(name, value, "x")
        }
    }

    /// The same with a bar.
    pub(crate) fn with_goal(mut self, goal: Goal) -> Self {
        self.ok = Some(match goal {
            Goal::AtMost(bar) => self.value <= bar,
            Goal::AtLeast(bar) => self.value >= bar,
        });
        self.goal = Some(goal);
        self
    }
}

/// Prints the table and writes `target/bench/NAME.json`.
pub(crate) fn write(name: &str, figures: &[Figure]) -> io::Result<()> {
    println!(
        "{:<58} {:>14} {:<10} {:<14} met",
        "figure", "value", "unit", "goal"
    );
    for figure in figures {
        let goal = match figure.goal {
            Some(Goal::AtMost(bar)) => format!("<= {bar}"),
            Some(Goal::AtLeast(bar)) => format!(">= {bar}"),
            None => String::new(),
        };
        let met = match figure.ok {
            Some(true) => "yes",
            Some(false) => "NO",
            None => "",
        };
        println!(
            "{:<58} {:>14.3} {:<10} {goal:<14} {met}",
            figure.name, figure.value, figure.unit
        );
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/bench");
    fs::create_dir_all(&folder)?;
    let file = folder.join(format!("{name}.json"));
    fs::write(&file, serde_json::to_vec_pretty(figures)?)?;
    println!("written to target/bench/{name}.json");
    Ok(())
}

/// The value below which a fraction of the samples lie; sorts them.
pub(crate) fn quantile(samples: &mut [f64], fraction: f64) -> f64 {
    samples.sort_by(f64::total_cmp);
    let last = samples.len().saturating_sub(1);
    let position = (last as f64 * fraction).round() as usize;
    samples.get(position.min(last)).copied().unwrap_or(f64::NAN)
}
