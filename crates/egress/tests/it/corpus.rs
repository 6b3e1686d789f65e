//! The SSRF corpus: every line of `tests/corpus/ssrf.txt` is judged as it says.

use crate::world::{World, get};

/// Lines that must be there, so that a truncated file does not pass.
const CASES_MIN: usize = 250;

#[tokio::test]
async fn every_line_of_the_corpus_is_judged_as_written() {
    let corpus = include_str!("../corpus/ssrf.txt");
    let mut world = World::new(&[]);
    let mut names: Vec<(String, String)> = Vec::new();
    let (mut cases, mut wrong) = (0, Vec::new());
    for line in corpus.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')) {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "dns" => {
                let (host, addresses) = rest.split_once(' ').unwrap();
                names.push((host.to_owned(), addresses.to_owned()));
            }
            "policy" => world = World::new(&rest.split_whitespace().collect::<Vec<_>>()),
            expect => {
                for (host, addresses) in &names {
                    world.names.set(host, &[addresses]);
                }
                cases += 1;
                let url: String = serde_json::from_str(rest).unwrap_or_else(|_| rest.to_owned());
                let found = judge(&world, &url).await;
                if found != expect {
                    wrong.push(format!("{url:?}: expected {expect}, found {found}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {cases} wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(cases >= CASES_MIN, "the corpus has {cases} cases");
}

/// The verdict on `url`. What is refused is also called and opened, and must end the same way; what
/// is allowed is not called, because nothing leaves the machine.
async fn judge(world: &World, url: &str) -> String {
    let Err(checked) = world.egress.check(url).await else { return "allowed".to_owned() };
    let called = world.call(get(url)).await;
    let Err(failure) = called.outcome else {
        return format!("check says {}, but it was called", checked.code);
    };
    if failure.code != checked.code {
        return format!("check says {}, call says {}", checked.code, failure.code);
    }
    let (opened, mut record) = world.open(get(url)).await;
    if opened.map(|_| ()) != Err(failure.clone()) || record.now().result != Err(failure.clone()) {
        return format!("call says {}, open says something else", failure.code);
    }
    failure.code.to_string()
}
