//! A vector by number whose copies share what did not change: two loads to an element, however many
//! there are.

use std::sync::Arc;

/// Elements of a page: a change copies one page and the list of pages.
const PAGE: usize = 64;

type Page<T> = Arc<[Option<T>]>;

/// A persistent vector with gaps.
#[derive(Clone, Debug)]
pub(crate) struct Pages<T> {
    pages: Arc<[Page<T>]>,
}

impl<T> Default for Pages<T> {
    fn default() -> Self {
        Self {
            pages: Arc::default(),
        }
    }
}

impl<T: Clone> Pages<T> {
    /// The element with a number.
    pub(crate) fn get(&self, number: u32) -> Option<&T> {
        let number = number as usize;
        self.pages.get(number / PAGE)?.get(number % PAGE)?.as_ref()
    }

    /// The next version: elements are added or replaced, `None` removes.
    pub(crate) fn with(&self, changes: impl IntoIterator<Item = (u32, Option<T>)>) -> Self {
        let mut pages: Vec<Page<T>> = self.pages.to_vec();
        for (number, element) in changes {
            let number = number as usize;
            let page = number / PAGE;
            if page >= pages.len() {
                if element.is_none() {
                    continue;
                }
                pages.resize_with(page + 1, || (0..PAGE).map(|_| None).collect());
            }
            let page = pages.get_mut(page).map(Arc::make_mut);
            if let Some(place) = page.and_then(|page| page.get_mut(number % PAGE)) {
                *place = element;
            }
        }
        Self {
            pages: pages.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_apart() {
        let first = Pages::default().with((0..1_000).map(|n| (n, Some(n))));
        let second = first.with([(7, None), (8, Some(80)), (5_000, Some(1)), (9_000, None)]);
        assert_eq!((first.get(7), second.get(7)), (Some(&7), None));
        assert_eq!((first.get(8), second.get(8)), (Some(&8), Some(&80)));
        assert_eq!((first.get(5_000), second.get(5_000)), (None, Some(&1)));
        assert_eq!((second.get(9_000), second.get(u32::MAX)), (None, None));
        assert!((9..1_000).all(|n| second.get(n) == Some(&n)));
    }
}
