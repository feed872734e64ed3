//! The order of the slices in a folder: that of the one number in which their names differ.

use std::collections::BTreeSet;

/// Advice about names without an order.
const NEXT: &str = "name them slice_0001, slice_0002 and so on";

/// The number of each slice, the one in which their names differ; `None` of a single slice.
pub(super) fn numbers(stems: &[String]) -> Result<Option<Vec<u64>>, String> {
    let runs: Vec<Vec<&str>> = stems.iter().map(|stem| runs(stem)).collect();
    let Some((first, others)) = runs.split_first().filter(|(_, others)| !others.is_empty()) else {
        return Ok(None);
    };
    let differing: BTreeSet<usize> = (0..first.len())
        .filter(|place| others.iter().any(|other| other.get(*place) != first.get(*place)))
        .collect();
    let alike = others.iter().all(|other| other.len() == first.len());
    let mut places = differing.iter().filter(|_| alike);
    let (Some(place), None) = (places.next(), places.next()) else {
        return Err(format!("the names of its slices differ in more than one number: {NEXT}"));
    };
    let number = |run: &Vec<&str>| run[*place].parse::<u64>();
    let numbers = runs.iter().map(number).collect::<Result<Vec<u64>, _>>();
    let problem = || format!("the names of its slices differ in something else than a number: {NEXT}");
    numbers.map(Some).map_err(|_| problem())
}

/// The places of `stems`, names without their endings, in the order of their numbers: 2 before 10,
/// with or without zeros before them.
///
/// # Errors
/// Why the names give no order without gaps.
pub(super) fn in_order(stems: &[String]) -> Result<Vec<usize>, String> {
    let Some(numbers) = numbers(stems)? else { return Ok((0..stems.len()).collect()) };
    let mut order: Vec<usize> = (0..stems.len()).collect();
    order.sort_by_key(|slice| numbers[*slice]);
    for (position, two) in order.windows(2).enumerate() {
        let [here, next] = [two[0], two[1]].map(|slice| numbers[slice]);
        if here == next {
            return Err(format!("two of its slices have the number {here}"));
        }
        if here + 1 != next {
            return Err(format!(
                "slices are missing: after number {here}, the slice {} of {}, comes {next}. Bring them back, or number the \
                 slices without a gap where none is missing",
                position + 1,
                order.len()
            ));
        }
    }
    Ok(order)
}

/// A name as runs of digits and of other signs, in turn.
fn runs(name: &str) -> Vec<&str> {
    let is_digit = |c: char| c.is_ascii_digit();
    let mut runs = Vec::new();
    let mut rest = name;
    while let Some(first) = rest.chars().next() {
        let end = rest.find(|c| is_digit(c) != is_digit(first)).unwrap_or(rest.len());
        let (run, after) = rest.split_at(end);
        runs.push(run);
        rest = after;
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(stems: &[&str]) -> Result<Vec<usize>, String> {
        in_order(&stems.iter().map(|stem| (*stem).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn slices_go_by_their_number_whatever_else_is_in_their_names() {
        assert_eq!(order(&["slice10", "slice9", "slice8", "slice11"]).unwrap(), [2, 1, 0, 3]);
        assert_eq!(order(&["a7_t1_003", "a7_t1_001", "a7_t1_002"]).unwrap(), [1, 2, 0]);
        assert_eq!(order(&["9", "010", "8"]).unwrap(), [2, 0, 1]);
        assert_eq!(order(&["0_of_2", "1_of_2"]).unwrap(), [0, 1]);
        assert_eq!(order(&["alone"]).unwrap(), [0]);
    }

    #[test]
    fn names_that_give_no_order_are_refused() {
        for (names, why) in [
            (&["s1", "s2", "s4"][..], "after number 2, the slice 2 of 3, comes 4"),
            (&["s1", "s01"], "two of its slices have the number 1"),
            (&["s1_z0", "s2_z5"], "more than one number"),
            (&["s1", "s2", "s2_mask"], "more than one number"),
            (&["left", "right"], "something else than a number"),
            (&["Slice1", "slice2"], "more than one number"),
            (&["s-1", "s0"], "more than one number"),
            (&["s99999999999999999999", "s99999999999999999998"], "something else than a number"),
            (&["s18446744073709551614", "s18446744073709551615", "s1"], "comes 18446744073709551614"),
        ] {
            let error = order(names).unwrap_err();
            assert!(error.contains(why), "{names:?}: {error}");
        }
    }
}
