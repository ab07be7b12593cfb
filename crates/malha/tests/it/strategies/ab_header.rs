//! `ab-header`

use super::assert_all_of;
use super::stage::{Stage, wait};

/// Who comes, and which version they get.
const BROWSERS: [(&str, &str); 6] = [
    ("Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0", "0.0.2"),
    ("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36", "0.0.1"),
    ("curl/8.5.0", "0.0.1"),
    ("Firefox", "0.0.2"),
    ("firefox/145.0", "0.0.1"),
    ("", "0.0.1"),
];

#[tokio::test(start_paused = true)]
async fn the_browser_decides_every_time() {
    let mut stage = Stage::with_clients("ab-header", &BROWSERS.map(|(browser, _)| browser)).await;
    wait(5).await;
    let back = stage.types("patch virtualservice relay").await;
    wait(1).await;
    let seen = stage.ends().await;
    for (browser, version) in BROWSERS {
        let own: Vec<_> = seen[..back].iter().filter(|seen| seen.agent == browser).cloned().collect();
        assert_all_of(version, &own);
    }
    assert_all_of("0.0.1", &seen[back..]);
}
