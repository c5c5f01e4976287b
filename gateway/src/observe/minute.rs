//! Calls and denials in each of the last 60 seconds.

const SECONDS: usize = 60;

/// A ring of one slot a second.
#[derive(Debug)]
pub(crate) struct Minute {
    slots: [Slot; SECONDS],
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    /// The second that the counts belong to, from 1; 0 if none.
    second: u64,
    calls: u32,
    denials: u32,
}

impl Default for Minute {
    fn default() -> Self {
        Self {
            slots: [Slot::default(); SECONDS],
        }
    }
}

impl Minute {
    /// Counts a call in the second `now_s` since the start.
    pub(crate) fn note(&mut self, now_s: u64, is_denied: bool) {
        let second = now_s + 1;
        if let Some(slot) = self.slots.get_mut(position(second)) {
            if slot.second != second {
                *slot = Slot {
                    second,
                    calls: 0,
                    denials: 0,
                };
            }
            slot.calls = slot.calls.saturating_add(1);
            slot.denials = slot.denials.saturating_add(u32::from(is_denied));
        }
    }

    /// Calls and denials, newest second last.
    pub(crate) fn read(&self, now_s: u64) -> (Vec<u32>, Vec<u32>) {
        let newest = now_s + 1;
        (0..SECONDS as u64)
            .rev()
            .map(|back| {
                let second = newest.saturating_sub(back);
                self.slots
                    .get(position(second))
                    .filter(|slot| slot.second == second && second > 0)
                    .map_or((0, 0), |slot| (slot.calls, slot.denials))
            })
            .unzip()
    }
}

fn position(second: u64) -> usize {
    usize::try_from(second % SECONDS as u64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::Minute;

    #[test]
    fn seconds_fall_out_after_a_minute() {
        let mut minute = Minute::default();
        minute.note(0, false);
        minute.note(5, true);
        minute.note(5, false);
        let (calls, denials) = minute.read(5);
        assert_eq!((calls[59], calls[54], denials[59]), (2, 1, 1));
        let (calls, _) = minute.read(60);
        assert_eq!((calls[4], calls.iter().sum::<u32>()), (2, 2));
        assert_eq!(minute.read(200).0.iter().sum::<u32>(), 0);
        minute.note(65, false);
        assert_eq!(minute.read(65).0.iter().sum::<u32>(), 1);
    }
}
