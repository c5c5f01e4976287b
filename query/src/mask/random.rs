//! Texts that are drawn: digits in a pattern, and a text that a pattern matches.

use regex_syntax::{
    ParserBuilder,
    hir::{Class, ClassUnicode, Hir, HirKind},
};

use super::key::Drawn;

/// Characters of a drawn text.
const LENGTH_MAX: usize = 256;
/// Repeats of what a pattern lets repeat without end.
const REPEATS_MAX: u32 = 8;
/// Levels of a pattern.
const NESTING_MAX: u32 = 32;

/// The pattern with a digit for each `#`.
pub(super) fn digits(pattern: &str, mut drawn: Drawn) -> String {
    let signs = pattern.chars().map(|sign| {
        if sign == '#' {
            char::from_digit(u32::try_from(drawn.below(10)).unwrap_or_default(), 10).unwrap_or('0')
        } else {
            sign
        }
    });
    signs.collect()
}

/// The pattern, read; `None` if it is none.
pub(super) fn read(pattern: &str) -> Option<Hir> {
    let mut builder = ParserBuilder::new();
    builder.nest_limit(NESTING_MAX);
    builder.build().parse(pattern).ok()
}

/// A text that the pattern matches, cut at [`LENGTH_MAX`].
pub(super) fn matching(pattern: &Hir, mut drawn: Drawn) -> String {
    let mut text = String::new();
    draw(pattern, &mut drawn, &mut text);
    text.chars().take(LENGTH_MAX).collect()
}

fn draw(pattern: &Hir, drawn: &mut Drawn, text: &mut String) {
    if text.len() >= LENGTH_MAX {
        return;
    }
    match pattern.kind() {
        // Anchors have no text.
        HirKind::Empty | HirKind::Look(_) => {}
        HirKind::Literal(literal) => text.push_str(&String::from_utf8_lossy(&literal.0)),
        HirKind::Class(Class::Unicode(class)) => text.extend(sign(class, drawn)),
        HirKind::Class(Class::Bytes(class)) => {
            if let Some(class) = class.to_unicode_class() {
                text.extend(sign(&class, drawn));
            }
        }
        HirKind::Repetition(repetition) => {
            let most = repetition.max.unwrap_or(repetition.min.max(REPEATS_MAX));
            let spread = u128::from(most.saturating_sub(repetition.min)) + 1;
            let more = u32::try_from(drawn.below(spread)).unwrap_or_default();
            for _ in 0..repetition.min.saturating_add(more) {
                if text.len() >= LENGTH_MAX {
                    return;
                }
                draw(&repetition.sub, drawn, text);
            }
        }
        HirKind::Capture(capture) => draw(&capture.sub, drawn, text),
        HirKind::Concat(parts) => parts.iter().for_each(|part| draw(part, drawn, text)),
        HirKind::Alternation(parts) => {
            if let Some(part) = parts.get(drawn.index(parts.len())) {
                draw(part, drawn, text);
            }
        }
    }
}

/// A sign of a class, of those that print if it has any.
fn sign(class: &ClassUnicode, drawn: &mut Drawn) -> Option<char> {
    let printing = (' '..='~').filter(|sign| {
        let mut ranges = class.iter();
        ranges.any(|range| (range.start()..=range.end()).contains(sign))
    });
    let printing: Vec<char> = printing.collect();
    if printing.is_empty() {
        return class.iter().next().map(|range| range.start());
    }
    printing.get(drawn.index(printing.len())).copied()
}
