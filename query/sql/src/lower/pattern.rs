//! Regular expressions of PostgreSQL as the engine reads them.

/// The engine's pattern that matches the same texts, if it is of letters, digits and signs, anchors,
/// groups, sets and counts alone. `.` takes a line's end too.
pub(super) fn of_postgres(pattern: &str) -> Option<String> {
    let mut signs = pattern.chars().peekable();
    let mut takes_any = false;
    while let Some(sign) = signs.next() {
        let is_common = match sign {
            '\\' => signs.next().is_some_and(|next| next.is_ascii_punctuation()),
            '[' => is_common_set(&mut signs),
            '(' => signs.peek() != Some(&'?') && signs.peek() != Some(&'*'),
            '{' => is_count(&mut signs),
            '.' => {
                takes_any = true;
                true
            }
            '^' | '$' | '+' | '?' | '|' | ')' => true,
            // `***` in front is another syntax.
            '*' => signs.peek() != Some(&'*'),
            ' ' | '_' | '-' | '/' | ',' | ':' | ';' | '=' | '@' | '%' | '\'' | '"' | '!' | '<'
            | '>' => true,
            letter => letter.is_alphanumeric(),
        };
        if !is_common {
            return None;
        }
    }
    Some(format!("{}{pattern}", if takes_any { "(?s)" } else { "" }))
}

/// The same where it counts how much of a text is matched: PostgreSQL prefers the longest match, the
/// engine the first way that it finds. Without choices there is one way.
pub(super) fn without_choice(pattern: &str) -> Option<String> {
    let fixed = pattern.strip_suffix(['*', '+']).unwrap_or(pattern);
    let has_choice = fixed.contains(['(', '|', '?', '{', '*', '+']);
    if has_choice {
        None
    } else {
        of_postgres(pattern)
    }
}

/// The rest of `[..]`: letters and digits, ranges of them, and signs that mean nothing there.
fn is_common_set(signs: &mut impl Iterator<Item = char>) -> bool {
    let mut before = '[';
    for sign in signs {
        let is_common = match sign {
            ']' => return !matches!(before, '[' | '^' | '-'),
            '^' => before == '[',
            '-' => before.is_alphanumeric(),
            ' ' | '_' | '/' | '.' | ',' | ':' | ';' | '=' | '@' | '%' => before != '-',
            letter => letter.is_alphanumeric(),
        };
        if !is_common {
            return false;
        }
        before = sign;
    }
    false
}

/// The rest of `{2}`, `{2,}`, `{2,3}`.
fn is_count(signs: &mut impl Iterator<Item = char>) -> bool {
    let count: String = signs.take_while(|sign| *sign != '}').collect();
    let (least, most) = count.split_once(',').unwrap_or((&count, "0"));
    let is_number = |text: &str| text.parse::<u8>().is_ok();
    is_number(least) && (most.is_empty() || is_number(most))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_patterns_stay_as_they_are() {
        for pattern in [
            "^a[0-9a-f]+$",
            "(ab|c)?d{2,3}",
            r"a\.b\\",
            "[^a-z_]",
            "é*",
            "a{2,}",
        ] {
            assert_eq!(of_postgres(pattern).as_deref(), Some(pattern));
        }
        assert_eq!(of_postgres("^a.*").as_deref(), Some("(?s)^a.*"));
        assert_eq!(without_choice("[^0-9]+").as_deref(), Some("[^0-9]+"));
    }

    #[test]
    fn others_are_not_translated() {
        for pattern in [
            r"\d",
            r"\y",
            r"\bx",
            "(?i)a",
            "(*x)",
            "***=a",
            "[a&&b]",
            "[[:alpha:]]",
            "[a--b]",
            "[]a]",
            "[a",
            "a{,3}",
            "a{x}",
            r"[\w]",
            r"a\",
            "~",
            "&",
            "[-a]",
            "[a-]",
            "[a^]",
        ] {
            assert_eq!(of_postgres(pattern), None, "{pattern}");
        }
        for pattern in ["a|ab", "(a)", "a?", "a*b", "a+?", "a{1,2}"] {
            assert_eq!(without_choice(pattern), None, "{pattern}");
        }
    }
}
