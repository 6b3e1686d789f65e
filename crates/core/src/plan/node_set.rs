//! A set of nodes of one flow, as bits: unions over thousands of nodes stay cheap.

/// Node indices below a fixed count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NodeSet {
    words: Vec<u64>,
}

impl NodeSet {
    /// The empty set over `count` nodes.
    pub(super) fn new(count: usize) -> Self {
        Self { words: vec![0; count.div_ceil(64)] }
    }

    /// Adds a node; says whether it was new.
    pub(super) fn insert(&mut self, node: usize) -> bool {
        let bit = 1 << (node % 64);
        let word = &mut self.words[node / 64];
        let new = *word & bit == 0;
        *word |= bit;
        new
    }

    /// Whether the node is in the set.
    pub(super) fn contains(&self, node: usize) -> bool {
        self.words[node / 64] & (1 << (node % 64)) != 0
    }

    /// Adds every node of `other`.
    pub(super) fn union(&mut self, other: &Self) {
        for (mine, theirs) in self.words.iter_mut().zip(&other.words) {
            *mine |= theirs;
        }
    }

    /// How many nodes it has.
    pub(super) fn len(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// The nodes in ascending order.
    pub(super) fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.words.len() * 64).filter(|node| self.contains(*node))
    }
}
