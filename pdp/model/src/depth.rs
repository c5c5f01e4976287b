//! How deep what arrives from another process may be nested, so that nothing sent can exhaust a stack.

use std::cell::Cell;

/// Most values within each other; what policies make stays far below.
pub(crate) const DEPTH_MAX: usize = 512;

thread_local! {
    /// Values that this thread is reading now, each within the one before.
    static DEPTH: Cell<usize> = const { Cell::new(0) };
}

/// One value that is being read; it ends when dropped.
pub(crate) struct Level(());

impl Level {
    pub(crate) fn enter() -> Result<Self, TooDeep> {
        let depth = DEPTH.get();
        if depth >= DEPTH_MAX {
            return Err(TooDeep);
        }
        DEPTH.set(depth + 1);
        Ok(Self(()))
    }
}

impl Drop for Level {
    fn drop(&mut self) {
        DEPTH.set(DEPTH.get() - 1);
    }
}

#[derive(Debug, thiserror::Error)]
#[error("more than {DEPTH_MAX} values within each other (DEPTH_MAX)")]
pub(crate) struct TooDeep;

/// Serialises a type that holds itself as it is derived (`#[serde(remote = "Self")]`), and reads it so
/// deep and no deeper.
macro_rules! bounded {
    ($type:ident) => {
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                // The derived function of the type, not this one.
                $type::serialize(self, serializer)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let _level = $crate::depth::Level::enter()
                    .map_err(<D::Error as serde::de::Error>::custom)?;
                $type::deserialize(deserializer)
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use super::DEPTH_MAX;
    use crate::predicate::Predicate;

    fn nested(levels: usize) -> Predicate {
        (1..levels).fold(Predicate::NEVER, |inner, _| Predicate::Not(Box::new(inner)))
    }

    #[test]
    fn what_is_nested_too_deep_is_refused() {
        let read = |levels: usize| {
            // JSON has a bound of its own, on text; a value has none.
            let sent = serde_json::to_value(nested(levels)).unwrap();
            serde_json::from_value::<Predicate>(sent)
        };
        assert_eq!(read(DEPTH_MAX).unwrap(), nested(DEPTH_MAX));
        let refused = read(DEPTH_MAX + 1).unwrap_err().to_string();
        assert!(refused.contains("DEPTH_MAX"), "{refused}");
        // Nothing is left of the refusal.
        assert!(read(DEPTH_MAX).is_ok());
    }
}
