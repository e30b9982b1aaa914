//! The queries of `schemas/archive.md` and the notebook, run by DuckDB, Polars, pandas and matplotlib.

use heat_tests::{python::Python, repository};

use super::{City, archive_all, block_on, compact::at_once, open, rotation};
use crate::revise::unobserved;

#[test]
fn every_query_of_the_page_and_the_notebook_run_on_an_archive() {
    let Some(python) = Python::find() else { return };
    let sent = City::new(61).with_inputs().spread_over_days(2).records(600);
    let rows: usize = sent.iter().map(|sent| sent.expected().len()).sum();
    block_on(async {
        let folder = heat_tests::memory_folder();
        let archive = open(&folder).await;
        archive_all(&archive, &sent, rotation(500)).await;
        let repeats = archive.compact(&at_once(), &mut unobserved).await.unwrap().repeats;
        let (page, notebook) =
            (repository().join("schemas/archive.md"), repository().join("deploy/notebooks/leak.ipynb"));

        let answers = python.run("questions.py", [folder.path(), page.as_path(), notebook.as_path()]);

        for language in ["sql", "python"] {
            let found: Vec<u64> = serde_json::from_value(answers[language].clone()).unwrap();
            assert!(found.len() >= 2 && found.iter().all(|rows| *rows > 0), "{answers:#}");
        }
        assert_eq!(answers["rows"], rows as u64 - repeats, "a reader in Python finds the same files");
        assert!(answers["plot"]["hours"].as_u64() > Some(1), "{answers:#}");
    });
}
