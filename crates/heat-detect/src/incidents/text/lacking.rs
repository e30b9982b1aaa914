//! Words for what an incident had to do without.

/// Chinese and English of a word that detectors write.
fn word(word: &str) -> Option<(&'static str, &'static str)> {
    Some(match word {
        "pipes" => ("管道台账", "pipes in the plant model"),
        "elevations" => ("高程", "elevations"),
        "pressure_evidence" => ("能定位的压力变化", "pressures that tell the place"),
        "hydraulic_solution" => ("水力计算结果", "a hydraulic solution"),
        "witness_flows" => ("核对补水表的流量", "flows to check the make-up by"),
        "load_range" => ("该负荷下的流量表比对", "a comparison of the flow meters at such a load"),
        "water_balance" => ("水量平衡", "water balance"),
        "primary_supply_pressure" => ("一次供水压力", "primary supply pressure"),
        "supply_flow" => ("供水流量", "supply flow"),
        "return_flow" => ("回水流量", "return flow"),
        "make_up_flow" => ("补水流量", "make-up flow"),
        "supply_pressure" => ("供水压力", "supply pressure"),
        "return_pressure" => ("回水压力", "return pressure"),
        "boiler_feed" => ("锅炉补水计量等旁证", "a second witness, such as a metered boiler feed"),
        "(silent)" => ("（无数据）", "(silent)"),
        _ => return None,
    })
}

/// One thing lacked, for people; ids in it stay as they are.
fn one(lacked: &str, zh: bool) -> String {
    let words: Vec<&str> = lacked
        .split(' ')
        .map(|part| word(part).map_or(part, |(chinese, english)| if zh { chinese } else { english }))
        .collect();
    let text = words.join(" ");
    if !zh {
        return text;
    }
    text.replace("of its quarter hours", "的时段").replace(" of ", "/").replace(" stations", " 座热力站")
}

/// All that was lacked.
pub(super) fn list(lacked: &[String], zh: bool) -> String {
    let all: Vec<String> = lacked.iter().map(|lacked| one(lacked, zh)).collect();
    all.join(if zh { "、" } else { ", " })
}
