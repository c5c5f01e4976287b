//! What keyed masks draw from: HMAC-SHA-256 under the key of masks.
//!
//! Each use has a name of its own in the message, so that one mask never gives away another. Masks
//! that shall be stable within a statement and unlinkable between statements have a key drawn from
//! the statement as well.

use std::sync::Arc;

use dataos_model::secret::Secret;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The keys of one statement.
#[derive(Clone, Debug)]
pub(crate) struct MaskKeys {
    /// The key of masks.
    pub(crate) lasting: Arc<Secret>,
    /// A key that no other statement has.
    statement: Arc<Secret>,
}

impl MaskKeys {
    /// The keys of a statement that nothing else is named like.
    pub(crate) fn new(lasting: Arc<Secret>, statement: &[u8]) -> Self {
        let derived = Drawn::from(&lasting, "statement", statement).first;
        Self {
            lasting,
            statement: Arc::new(Secret::new(derived)),
        }
    }

    /// Drawn by a value, the same in every statement.
    pub(super) fn draw(&self, purpose: &'static str, value: &[u8]) -> Drawn {
        Drawn::from(&self.lasting, purpose, value)
    }

    /// Drawn by a value, the same within this statement alone.
    pub(super) fn draw_once(&self, purpose: &'static str, value: &[u8]) -> Drawn {
        Drawn::from(&self.statement, purpose, value)
    }
}

/// Bits without end, drawn by key, purpose and value.
pub(super) struct Drawn {
    mac: Option<Hmac<Sha256>>,
    block: u64,
    left: Vec<u8>,
    /// The first 256 bits.
    pub(super) first: [u8; 32],
}

impl Drawn {
    fn from(key: &Secret, purpose: &str, value: &[u8]) -> Self {
        let mut drawn = Self {
            // HMAC takes a key of any length.
            mac: Hmac::new_from_slice(key.expose()).ok(),
            block: 0,
            left: Vec::new(),
            first: [0; 32],
        };
        if let Some(mac) = &mut drawn.mac {
            mac.update(purpose.as_bytes());
            mac.update(&[0]);
            mac.update(value);
        }
        drawn.first = drawn.next_block();
        drawn
    }

    fn next_block(&mut self) -> [u8; 32] {
        let Some(mac) = &self.mac else {
            return [0; 32];
        };
        let mut mac = mac.clone();
        mac.update(&self.block.to_be_bytes());
        self.block += 1;
        let block: [u8; 32] = mac.finalize().into_bytes().into();
        self.left = block.to_vec();
        block
    }

    /// A number below `bound`, which is not zero; from 128 bits, so that none is favoured.
    pub(super) fn below(&mut self, bound: u128) -> u128 {
        /// Bytes of a number.
        const WIDTH: usize = 16;
        if self.left.len() < WIDTH {
            self.next_block();
        }
        let at = self.left.len().saturating_sub(WIDTH);
        let mut number = 0_u128;
        for byte in self.left.drain(at..) {
            number = (number << 8) | u128::from(byte);
        }
        number.checked_rem(bound).unwrap_or_default()
    }

    /// [`Drawn::below`] for lists.
    pub(super) fn index(&mut self, count: usize) -> usize {
        usize::try_from(self.below(count as u128)).unwrap_or_default()
    }

    /// A number of `-size..=size`.
    pub(super) fn around_zero(&mut self, size: i128) -> i128 {
        let size = size.clamp(0, i128::from(i64::MAX));
        let width = size.unsigned_abs().saturating_mul(2).saturating_add(1);
        i128::try_from(self.below(width)).unwrap_or_default() - size
    }

    /// A number from -1 to 1.
    pub(super) fn ratio(&mut self) -> f64 {
        /// As many steps as a double tells apart.
        const STEPS: i128 = 1 << 52;
        #[expect(clippy::cast_precision_loss, reason = "at most 53 bits")]
        let ratio = self.around_zero(STEPS) as f64 / STEPS as f64;
        ratio
    }
}
