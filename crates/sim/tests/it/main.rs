//! Seeds hold, the same seed gives the same story, and the corpus holds.

use flux_sim::{Telling, corpus, simulate};

const SEEDS: u64 = 200;

#[test]
fn seeds_and_corpus_hold() {
    for seed in corpus().into_iter().chain(0..SEEDS) {
        let report = simulate(seed, Telling::Hash);
        let violation = report.violation.map(|violation| violation.to_string());
        assert_eq!(violation, None, "cargo run -p flux-sim -- --seed {seed}");
    }
}

#[test]
fn the_same_seed_gives_the_same_story() {
    let mut hashes = std::collections::BTreeSet::new();
    for seed in 0..20 {
        let (first, second) = (simulate(seed, Telling::Hash), simulate(seed, Telling::Lines));
        assert_eq!(first.hash, second.hash, "seed {seed}");
        assert!(first.executions > 0 && first.story.is_empty() && !second.story.is_empty());
        hashes.insert(first.hash);
    }
    assert_eq!(hashes.len(), 20, "different seeds give different stories");
}
