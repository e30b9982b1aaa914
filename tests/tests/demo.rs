//! The one command: a heated city, its burst, and one incident that says what a repair crew needs.

use std::{fs, time::Duration};

use heat_tests::{
    browser::Browser,
    free_port,
    heatstream::Running,
    python::Python,
    site::{assert_balanced, get, is_ok},
    wait_until,
    watch::desk::Desk,
};
use serde_json::Value;
use tempfile::TempDir;

/// Loading the history, also by a debug build on a busy machine.
const LIVE: Duration = Duration::from_secs(1_200);
/// The burst comes within a minute of going live.
const BURST: Duration = Duration::from_secs(90);

struct Demo {
    folder: TempDir,
    api: u16,
    admin: u16,
}

impl Demo {
    fn new(more: &str) -> Self {
        let demo = Self { folder: tempfile::tempdir().unwrap(), api: free_port(), admin: free_port() };
        let text = format!(
            "[gateway.listen]\naddress = \"127.0.0.1:{}\"\n[api]\naddress = \"127.0.0.1:{}\"\n[admin]\naddress = \
             \"127.0.0.1:{}\"\n[archive]\nbuffer_max_bytes = 33554432\ncommit_max_readings = 250000\n\
             [processor]\nburst_clear = \"200s\"\n\
             [logging]\nfilter = \"warn,heat_processor=info\"\n{more}",
            free_port(),
            demo.api,
            demo.admin
        );
        fs::write(demo.folder.path().join("up.toml"), text).unwrap();
        demo
    }

    fn start(&self, more: &[&str]) -> Running {
        let path = |name: &str| self.folder.path().join(name).into_os_string();
        let own = ["up".into(), "--config".into(), path("up.toml"), "--data-dir".into(), path("data")];
        Running::start("demo", own.into_iter().chain(more.iter().map(Into::into)))
    }

    fn page(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.api)
    }

    /// Incidents by a query of the API; none while it does not answer.
    fn incidents(&self, query: &str) -> Vec<Value> {
        let text = get(&format!("http://127.0.0.1:{}/api/v1/incidents?limit=500&{query}", self.api));
        let body: Value = text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
        body["items"].as_array().cloned().unwrap_or_default()
    }

    fn acknowledge(&self, id: &str) {
        let url = format!("http://127.0.0.1:{}/api/v1/incidents/{id}/acknowledge", self.api);
        ureq::post(url).send_json(serde_json::json!({})).expect("the incident can be acknowledged");
    }
}

/// Gives the page names as some plants have them, long and without a place to break a line, and tells by how many pixels
/// it is then wider than the window.
const LONG_NAMES: &str = "
    const longer = (name) => 'Umspannwerk'.repeat(6) + name;
    const walker = document.createTreeWalker(document.querySelector('main'), NodeFilter.SHOW_TEXT);
    const texts = [];
    while (walker.nextNode()) texts.push(walker.currentNode);
    for (const text of texts) text.data = text.data.replace(/城北\\S+|north-\\S+/g, longer);
    for (const option of document.querySelectorAll('main option')) option.text = longer(option.text);
    return document.documentElement.scrollWidth - window.innerWidth";

/// Pictures of the pages, where they are to be kept.
fn picture(browser: &Browser, name: &str) {
    if let Some(folder) = std::env::var_os("HEATSTREAM_TEST_KEEP").map(std::path::PathBuf::from) {
        browser.picture(&folder.join(format!("{name}.png")));
    }
}

/// Notes in the page when a word first stands in it, by the same clock as the log's.
fn watch_for(browser: &Browser, word: &str) {
    browser.script(&format!(
        "window.seenAt = null; new MutationObserver(() => {{ if (window.seenAt === null && \
         document.body.innerText.includes('{word}')) window.seenAt = Date.now(); }}).observe(document.body, \
         {{ childList: true, subtree: true, characterData: true }})"
    ));
}

/// Says how long after a time of the log the word that was watched for stood in the page, and judges that never.
fn say_when_seen(browser: &Browser, what: &str, at: &Value) {
    let seen = browser.script(&format!("return window.seenAt - Date.parse({at})"));
    eprintln!("{what} stood in the open page {seen} ms after it was on the log");
}

/// Seen on a page that stays open, and acknowledged, by pointer in a real browser.
fn a_dispatcher_acknowledges(demo: &Demo, browser: &Browser, id: &str) {
    wait_until("the burst comes to the open page", Duration::from_secs(60), || {
        browser.text().contains("爆管")
    });
    assert_eq!(browser.script("return window.wasHereBefore"), true, "it came without loading the page anew");
    say_when_seen(browser, "the burst", &demo.incidents("class=burst")[0]["opened"]);
    picture(browser, "overview");
    browser.click(&format!("a[href='/incidents/{id}']"));
    // Curves are drawn when they come into view.
    let drawn = "document.querySelector('figure')?.scrollIntoView(); \
                 return document.querySelectorAll('figure svg path.line').length";
    wait_until("the evidence is drawn", Duration::from_secs(60), || browser.script(drawn).as_u64() > Some(0));
    picture(browser, "incident");
    browser.click("#actions button.primary");
    wait_until("the acknowledgement shows", Duration::from_secs(60), || {
        // The incident may have changed just when the hand clicked: then the page says so, and the hand clicks again.
        if browser.script("return document.querySelector('#actions') === null") == true {
            browser.open(&demo.page(&format!("/incidents/{id}?lang=zh")));
            browser.click("#actions button.primary");
        }
        browser.text().contains("已确认")
    });
}

/// The repair with its cause and size, on the incident's page.
fn a_dispatcher_reports_the_repair(demo: &Demo, browser: &Browser) {
    // A drawing that is still being read when the page goes would be a complaint of the browser.
    let undrawn = "return document.querySelectorAll('figure[data-plot]:not(:has(svg))').length";
    wait_until("all curves are drawn", Duration::from_secs(60), || browser.script(undrawn) == 0);
    browser.script("for (const form of document.querySelectorAll('details')) form.open = true");
    browser.fill("input[name=cause]", "焊缝开裂");
    browser.fill("input[name=size_t_h]", "90");
    browser.click("form[action$='/repaired'] button");
    wait_until("the repair shows", Duration::from_secs(60), || browser.text().contains("焊缝开裂"));
    wait_until("the API says that it is repaired", Duration::from_secs(60), || {
        demo.incidents("class=burst").first().is_some_and(|burst| burst["work"] == "repaired")
    });
    picture(browser, "repaired");
    assert_eq!(browser.complaints(), Vec::<String>::new(), "nothing failed, nothing came from elsewhere");
}

/// The simulated crew has mended the pipe: the data come back, and the page that stays open says that they verify it.
fn a_dispatcher_sees_the_repair_verified(demo: &Demo, browser: &Browser) {
    watch_for(browser, "已验证");
    // The network fills up again first; then the evidence must stay away for `burst_clear`.
    wait_until("the data verify the repair", Duration::from_secs(600), || browser.text().contains("已验证"));
    let burst = demo.incidents("class=burst").remove(0);
    assert_eq!((&burst["state"], &burst["work"]), (&"cleared".into(), &"closed".into()), "{burst:#}");
    say_when_seen(browser, "the verification", &burst["updated"]);
    picture(browser, "verified");
}

/// Every page, at a desk in Chinese and on a telephone in English: contrast, names and roles by axe-core; and by keyboard.
fn nobody_is_kept_out(demo: &Demo, browser: &Browser, python: &Python, incident: &Value) {
    let axe =
        python.brought("axe_playwright_python/axe.min.js").expect("tests/requirements.txt brings axe-core");
    let (id, network) = (incident["id"].as_str().unwrap(), incident["network"].as_str().unwrap());
    let station = incident["affected"][0].as_str().unwrap();
    let pages = [
        "/".to_owned(),
        "/incidents".to_owned(),
        format!("/incidents/{id}"),
        format!("/networks/{network}"),
        format!("/networks/{network}/sites/{station}"),
        "/tickets".to_owned(),
        "/quality".to_owned(),
        "/health".to_owned(),
    ];
    for (language, width, height) in [("zh", 1280, 900), ("zh", 390, 844), ("en", 390, 844)] {
        browser.size(width, height);
        for (index, page) in pages.iter().enumerate() {
            browser.open(&demo.page(&format!("{page}?lang={language}")));
            let barriers = browser.barriers(&axe);
            assert_eq!(barriers, Vec::<String>::new(), "{page} in {language} at {width} px");
            let overflow = browser.script("return document.documentElement.scrollWidth - window.innerWidth");
            assert!(
                overflow.as_i64() <= Some(0),
                "{page} in {language} is wider than its window of {width} px: {overflow}"
            );
            picture(browser, &format!("{language}-{width}-{index}"));
            let overflow = browser.script(LONG_NAMES);
            assert!(
                overflow.as_i64() <= Some(0),
                "long names make {page} in {language} wider than {width} px: {overflow}"
            );
        }
    }
    browser.size(1280, 900);
    browser.open(&demo.page("/?lang=zh"));
    browser.press("\u{e004}");
    let focus = "const style = getComputedStyle(document.activeElement); return [document.activeElement.className, \
                 parseFloat(style.outlineWidth) > 0, document.activeElement.getBoundingClientRect().left >= 0]";
    assert_eq!(
        browser.script(focus),
        serde_json::json!(["skip", true, true]),
        "the first Tab leads past the menu, and shows"
    );
    browser.press("\u{e007}");
    browser.press("\u{e004}");
    assert_eq!(
        browser.script("return document.querySelector('main').contains(document.activeElement)"),
        true
    );
}

#[test]
fn the_demos_burst_is_one_incident_that_names_place_loss_and_stations_and_a_kill_does_not_page_it_again() {
    let Some(python) = Python::find() else { return };
    let mut desk = Desk::open();
    let demo = Demo::new(&desk.as_ref().map(Desk::config).unwrap_or_default());
    let mut up = demo.start(&["--history-days", "16"]);
    up.wait_until("the city is live", LIVE, |up| up.stdout().contains("live: "));
    let browser = Browser::start();
    if let Some(browser) = &browser {
        browser.open(&demo.page("/"));
        browser.script("window.wasHereBefore = true");
        watch_for(browser, "爆管");
    }
    if let Some(desk) = &mut desk {
        desk.scrape(demo.admin);
    }

    let mut bursts = Vec::new();
    up.wait_until("the API shows a burst", BURST, |_| {
        bursts = demo.incidents("class=burst");
        !bursts.is_empty()
    });

    assert_eq!(bursts.len(), 1, "one cause is one incident: {bursts:#?}");
    let burst = &bursts[0];
    let (id, network) = (burst["id"].as_str().unwrap(), burst["network"].as_str().unwrap());
    assert!(network.starts_with("demo-"), "{burst:#}");
    assert_eq!(burst["priority"], "P1", "{burst:#}");
    let branch = burst["branch"].as_array().map_or(0, Vec::len);
    assert!(burst["place"].is_string() || branch > 0, "it names a pipe or a branch: {burst:#}");
    assert!(burst["loss_m3_h"].as_f64() > Some(0.0), "it says how much is lost: {burst:#}");
    assert!(burst["affected"].as_array().is_some_and(|sites| !sites.is_empty()), "{burst:#}");
    wait_until("the terminal shows it", Duration::from_secs(60), || {
        let text = up.stdout();
        text.contains(id) && text.contains("after the onset")
    });

    if let Some(desk) = &mut desk {
        desk.wait_for_page(id, network);
        desk.assert_dashboards_and_rules_work(demo.admin);
    }
    match &browser {
        Some(browser) => a_dispatcher_acknowledges(&demo, browser, id),
        None => demo.acknowledge(id),
    }
    if let Some(desk) = &mut desk {
        desk.wait_until_silenced(id);
        desk.lose_alertmanager();
        desk.wait_until_silenced(id);
        desk.restart_prometheus();
    }
    if let Some(browser) = &browser {
        // A page that loses its server would complain.
        browser.open("about:blank");
        browser.complaints();
    }

    // Killed and started again, it goes on; the burst is the same one.
    up.kill();
    let up = demo.start(&[]);
    let mut again = Vec::new();
    wait_until("the API shows the burst again", Duration::from_secs(120), || {
        again = demo.incidents("class=burst");
        !again.is_empty()
    });
    assert_eq!(again.len(), 1, "{again:#?}");
    assert_eq!(again[0]["id"], id, "the same incident, not a new one");
    let urgent: Vec<Value> = demo
        .incidents("state=open")
        .into_iter()
        .filter(|incident| incident["network"] == network && incident["priority"] == "P1")
        .collect();
    assert_eq!(urgent.len(), 1, "its effects are not paged beside it: {urgent:#?}");
    if let Some(browser) = browser {
        // Before it has read the log back, the API takes no clients of events, and a page would complain.
        let ready = format!("http://127.0.0.1:{}/readyz", demo.admin);
        wait_until("it has caught up", Duration::from_secs(120), || is_ok(&ready));
        browser.open(&demo.page(&format!("/incidents/{id}?lang=zh")));
        a_dispatcher_reports_the_repair(&demo, &browser);
        a_dispatcher_sees_the_repair_verified(&demo, &browser);
        nobody_is_kept_out(&demo, &browser, &python, burst);
    }
    let ended = up.stop().ended_with(0);
    assert_balanced(&ended.stdout);
    let opened = "SELECT count(*) AS opened FROM incident_events WHERE json_extract_string(json, \
                  '$.Event.incident.class') = 'burst' AND json_extract_string(json, '$.Event.change.kind') = 'opened'";
    let archive = demo.folder.path().join("data/demo/archive");
    let rows = python.query(&archive, opened);
    assert_eq!(rows[0]["opened"], 1, "raised once");
    if let Some(desk) = &desk {
        assert_eq!(desk.times_paged(id), 1, "and the duty was called once, whatever was killed");
    }
}

#[test]
fn up_for_a_time_ends_by_itself_and_a_lost_state_comes_back_from_the_archive() {
    let demo = Demo::new("");

    let ended = demo.start(&["--for", "75s", "--history-days", "1"]).ended(LIVE).ended_with(0);

    assert_balanced(&ended.stdout);
    assert!(ended.stdout.contains("loaded "), "it says what it loaded: {}", ended.stdout);

    // As after an upgrade whose core cannot read the old state.
    fs::remove_dir_all(demo.folder.path().join("data/demo/log/heat.state.v1")).unwrap();
    let again = demo.start(&["--rebuild-from-archive", "--for", "15s"]);
    let mut bursts = Vec::new();
    wait_until("the API shows the burst", Duration::from_secs(120), || {
        bursts = demo.incidents("class=burst");
        !bursts.is_empty()
    });
    let ended = again.ended(LIVE).ended_with(0);
    assert_balanced(&ended.stdout);
    assert!(ended.stderr.contains("rebuilding the state from the archive"), "{}", ended.stderr);
    assert_eq!(bursts.len(), 1, "the burst that people know, and no other: {bursts:#?}");
    let Some(python) = Python::find() else { return };
    let opened = "SELECT DISTINCT json_extract_string(json, '$.Event.incident.id') AS id FROM incident_events WHERE \
                  json_extract_string(json, '$.Event.incident.class') = 'burst'";
    let rows = python.query(&demo.folder.path().join("data/demo/archive"), opened);
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!(rows[0]["id"], bursts[0]["id"]);
}
