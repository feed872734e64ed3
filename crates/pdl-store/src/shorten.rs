//! Lists that may be long.

/// Maximum number of items that a message lists.
pub const MOST_LISTED: usize = 10;

/// The first `most` items, and how many follow.
pub fn shorten<T>(items: &[T], most: usize) -> (&[T], usize) {
    let listed = &items[..most.min(items.len())];
    (listed, items.len() - listed.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_listed_is_counted() {
        assert_eq!(shorten(&[1, 2, 3], 2), (&[1, 2][..], 1));
        assert_eq!(shorten(&[1, 2], 2), (&[1, 2][..], 0));
        assert_eq!(shorten::<u8>(&[], 2), (&[][..], 0));
    }
}
