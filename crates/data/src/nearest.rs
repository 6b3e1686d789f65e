//! Finds the known name that an unknown one was probably meant to be.

/// Names longer than this are not compared.
const NAME_CHARS_MAX: usize = 64;

/// The known name nearest to `name`, if one is near: at most a third of its letters differ.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted: Vec<char> = name.chars().flat_map(char::to_lowercase).collect();
    if wanted.len() > NAME_CHARS_MAX {
        return None;
    }
    let bound = wanted.len().div_ceil(3).max(1);
    let distances = known.into_iter().filter(|known| known.len() <= NAME_CHARS_MAX * 4);
    let nearest = distances.map(|known| (distance(&wanted, known), known)).min_by_key(|(far, _)| *far);
    nearest.filter(|(far, _)| *far <= bound).map(|(_, known)| known)
}

/// `; did you mean `x`?`, or all known names where there are few and none is near.
pub(crate) fn suggestion<'a>(name: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> String {
    if let Some(nearest) = nearest(name, known.clone()) {
        return format!("; did you mean `{nearest}`?");
    }
    let all: Vec<&str> = known.into_iter().take(13).collect();
    match all.len() {
        0 => String::new(),
        1..=12 => format!("; known are {}", all.join(", ")),
        _ => String::new(),
    }
}

/// Insertions, deletions, replacements and swaps of neighbours.
fn distance(wanted: &[char], known: &str) -> usize {
    let known: Vec<char> = known.chars().flat_map(char::to_lowercase).collect();
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=known.len()).collect();
    for (row, letter) in wanted.iter().enumerate() {
        let mut current = vec![row + 1];
        for (column, other) in known.iter().enumerate() {
            let replaced = last[column] + usize::from(letter != other);
            let mut best = replaced.min(last[column + 1] + 1).min(current[column] + 1);
            let swaps = row > 0 && column > 0 && letter == &known[column - 1] && &wanted[row - 1] == other;
            if swaps {
                best = best.min(before_last[column - 1] + 1);
            }
            current.push(best);
        }
        before_last = std::mem::replace(&mut last, current);
    }
    last[known.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, known: &[&str], expected: Option<&str>) {
        assert_eq!(nearest(name, known.iter().copied()), expected, "{name}");
    }

    #[test]
    fn near_names_are_found_and_far_ones_are_not() {
        check("gtt", &["gt", "gte", "eq"], Some("gt"));
        check("ordres", &["orders", "customers"], Some("orders"));
        check("Orders", &["orders"], Some("orders"));
        check("xyzzy", &["orders", "customers"], None);
        check("", &["a"], Some("a"));
        check(&"a".repeat(100), &["a"], None);
    }

    #[test]
    fn few_names_are_listed_when_none_is_near() {
        assert_eq!(suggestion("zzz", ["asc", "desc"]), "; known are asc, desc");
        assert_eq!(suggestion("dsec", ["asc", "desc"]), "; did you mean `desc`?");
    }
}
