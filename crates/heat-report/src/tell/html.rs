//! One page: readable without a network, a script or another file, and printable.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::{Lang, words};
use crate::{
    convert::{Conversion, Stretch},
    figure::{Figure, Id},
    ground::Scope,
    hours::DAY_HOURS,
    peers::{ABOVE_KELVIN, DAYS_MIN, PEERS_MIN, PeerRow, Peers},
    rank::{PipeRow, Ranking, StationRow},
    rooms::{CommunityRow, RoomShare},
    shape::{CaseRow, Coverage, Cut, RepairRow, Report, ScopeReport},
};

/// Communities on the page; CSV and JSON have all.
const COMMUNITIES: usize = 50;
const STYLE: &str = include_str!("report.css");

/// Figures that stand at the head of the page.
const HEAD: [Id; 9] = [
    Id::HeatPerDegreeDay,
    Id::MakeUp,
    Id::Compliance,
    Id::Complaints,
    Id::WaterLossesPerPipe,
    Id::RepairsVerified,
    Id::TimelyAcceptance,
    Id::TimelyArrival,
    Id::Satisfaction,
];

struct Page<'a> {
    lang: Lang,
    report: &'a Report,
}

/// The page. `title` names the kind of report in both languages.
pub fn html(report: &Report, title: [&'static str; 2], lang: Lang) -> String {
    let page = Page { lang, report };
    let title = lang.pick(title);
    let city = report.scopes.iter().find(|scope| scope.scope == Scope::City);
    let markup = html! {
        (DOCTYPE)
        html lang=(lang.pick(["zh-CN", "en"])) {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) " · heatstream" }
                style { (PreEscaped(STYLE)) }
            }
            body { main {
                h1 { (title) }
                p.faint { (day(&report.from)) " – " (day(&report.to)) " · " (report.time_zone) }
                @if let Some(city) = city { (page.cards(city)) (page.classes(city)) }
                (page.incidents(&report.incidents))
                (page.repairs(&report.repairs))
                (page.stations(&report.stations))
                (page.peers(&report.peers))
                (page.pipes(&report.pipes))
                (page.conversions(&report.conversions))
                (page.communities(&report.communities))
                (page.scopes())
                (page.coverage(&report.coverage))
            } }
        }
    };
    markup.into_string()
}

/// A time without its seconds and offset: the page says whose clock it is.
fn day(time: &str) -> String {
    time.get(..16).unwrap_or(time).replace('T', " ")
}

fn known(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), words::number)
}

impl Page<'_> {
    fn t(&self, chinese: &'static str, english: &'static str) -> &'static str {
        self.lang.pick([chinese, english])
    }

    /// What was counted and what it is divided by.
    fn parts(&self, figure: &Figure) -> Markup {
        let words = figure.id.words();
        html! {
            (known(figure.numerator)) " " (self.lang.pick(words.numerator)) br;
            "÷ " (known(figure.denominator)) " " (self.lang.pick(words.denominator))
        }
    }

    fn cards(&self, city: &ScopeReport) -> Markup {
        let of = |id: Id| city.figures.iter().find(move |figure| figure.id == id);
        html! {
            div.cards {
                @for figure in HEAD.into_iter().filter_map(of) {
                    @let words = figure.id.words();
                    section.card {
                        h2 { (self.lang.pick(words.title)) }
                        p.value { (known(figure.value)) " " small { (self.lang.pick(words.unit)) } }
                        p.faint { (self.parts(figure)) }
                    }
                }
            }
        }
    }

    fn classes(&self, city: &ScopeReport) -> Markup {
        let most = city.classes.iter().map(|row| row.water_m3).fold(0.0, f64::max);
        let (water, heat) = (Id::WaterLostShare, Id::HeatLostShare);
        let share = |id: Id| city.figures.iter().find(|figure| figure.id == id);
        html! {
            h2.section { (self.t("故障与损失", "What failed, and what it cost")) }
            @if city.classes.is_empty() { p { (self.t("没有事件。", "There was no incident.")) } }
            @else {
                div.scroll tabindex="0" { table {
                    thead { tr {
                        th.l { (self.t("类别", "Class")) }
                        th { (self.t("新发生", "Began")) } th { (self.t("存在过", "Present")) }
                        th { (self.t("持续，h", "Hours")) }
                        th { (self.t("失水，m³", "Water, m³")) } th.l.bar {} th { (self.t("失热及多供热，GJ", "Heat lost or for nothing, GJ")) }
                    } }
                    tbody { @for row in &city.classes { tr {
                        td.l { (words::class(self.lang, row.class)) }
                        td { (row.opened) } td { (row.present) } td { (words::number(row.hours)) }
                        td { (words::number(row.water_m3)) }
                        td.l.bar { @if most > 0.0 && row.water_m3 > 0.0 {
                            span.fill style=(format!("width:{:.0}%", 100.0 * row.water_m3 / most)) {}
                        } }
                        td { (known(row.heat_gj)) }
                    } } }
                } }
                @for figure in [share(water), share(heat)].into_iter().flatten() {
                    @let words = figure.id.words();
                    p.faint { (self.lang.pick(words.title)) "：" (known(figure.value)) " % = "
                        (known(figure.numerator)) " " (self.lang.pick(words.numerator)) " ÷ "
                        (known(figure.denominator)) " " (self.lang.pick(words.denominator)) }
                }
            }
        }
    }

    fn more(&self, shown: usize, of: usize) -> Markup {
        html! { @if of > shown { p.faint {
            (self.t("列出 ", "Shown: ")) (shown) (self.t("，共 ", " of ")) (of)
        } } }
    }

    fn incidents(&self, cut: &Cut<CaseRow>) -> Markup {
        html! {
            h2.section { (self.t("事件（一至三级）", "Incidents (P1 to P3)")) }
            @if cut.rows.is_empty() { p { (self.t("没有。", "None.")) } } @else {
                div.scroll tabindex="0" { table {
                    thead { tr {
                        th.l { (self.t("起始", "Onset")) } th.l { (self.t("级别", "Priority")) }
                        th.l { (self.t("类别", "Class")) } th.l { (self.t("热网", "Network")) }
                        th.l { (self.t("位置", "Place")) } th { (self.t("持续，h", "Hours")) }
                        th { (self.t("失水，m³", "Water, m³")) } th { (self.t("失热，GJ", "Heat, GJ")) }
                        th { (self.t("影响站数", "Stations affected")) }
                    } }
                    tbody { @for row in &cut.rows { tr {
                        td.l { (day(&row.onset)) } td.l { (format!("{:?}", row.priority)) }
                        td.l { (words::class(self.lang, row.class))
                            @if let Some(kind) = &row.kind { " · " (words::kind(self.lang, kind)) } }
                        td.l { (row.network) }
                        td.l { (row.place_name.as_deref().or(row.place.as_deref()).unwrap_or("–")) }
                        td { (words::number(row.hours)) @if !row.over { " " span.open { (self.t("未结束", "open")) } } }
                        td { (known(row.water_m3)) } td { (known(row.heat_gj)) } td { (row.affected) }
                    } } }
                } }
                (self.more(cut.rows.len(), cut.of))
            }
        }
    }

    fn repairs(&self, cut: &Cut<RepairRow>) -> Markup {
        html! {
            h2.section { (self.t("修复与验证", "Repairs and their verification")) }
            @if cut.rows.is_empty() { p { (self.t("没有。", "None.")) } } @else {
                div.scroll tabindex="0" { table {
                    thead { tr {
                        th.l { (self.t("报修复", "Reported")) } th.l { (self.t("类别", "Class")) }
                        th.l { (self.t("热网", "Network")) } th.l { (self.t("管段", "Pipe")) }
                        th.l { (self.t("原因", "Cause")) } th { (self.t("历时，h", "Hours to repair")) }
                        th { (self.t("漏量，t/h", "Loss found, t/h")) } th.l { (self.t("结果", "Outcome")) }
                    } }
                    tbody { @for row in &cut.rows { tr {
                        td.l { (day(&row.repaired)) } td.l { (words::class(self.lang, row.class)) }
                        td.l { (row.network) } td.l { (row.pipe.as_deref().unwrap_or("–")) }
                        td.l { (row.cause.as_deref().unwrap_or("–")) } td { (words::number(row.hours_to_repair)) }
                        td { (known(row.size_kg_s.map(|size| size * 3.6))) }
                        td.l class=(row.outcome) { (words::outcome(self.lang, row.outcome)) }
                    } } }
                } }
                (self.more(cut.rows.len(), cut.of))
            }
        }
    }

    fn stations(&self, ranking: &Ranking<StationRow>) -> Markup {
        html! {
            h2.section { (self.t("热力站夏季检修排序（冬病夏治）", "Stations for summer maintenance")) }
            p.faint { (self.t(
                "排序值：该站在全部站的无效流量、超出同网中位站的热量、故障小时中所占份额的平均。",
                "Rank: the mean of the station's shares of all stations' excess flow, heat above the network's median station, and hours in fault.",
            )) }
            @if ranking.rows.is_empty() { p { (self.t("没有。", "None.")) } } @else {
                div.scroll tabindex="0" { table {
                    thead { tr {
                        th {} th.l { (self.t("热力站", "Station")) } th { (self.t("份额，%", "Share, %")) } th.l.bar {}
                        th { (self.t("无效流量，t", "Excess flow, t")) }
                        th { (self.t("较同类站多耗流量，t", "Excess over peers, t")) } th { (self.t("超额热量，GJ", "Excess heat, GJ")) }
                        th { (self.t("故障，h", "Hours in fault")) } th { (self.t("故障，次", "Faults")) }
                        th { (self.t("工单", "Tickets")) } th.l { (self.t("故障种类", "Kinds")) }
                    } }
                    tbody { @for (index, row) in ranking.rows.iter().enumerate() { tr {
                        td { (index + 1) } td.l { (row.name.as_deref().unwrap_or(row.station.as_str())) }
                        td { (words::number(100.0 * row.share)) }
                        td.l.bar { span.fill style=(format!("width:{:.0}%", 100.0 * row.share / ranking.rows[0].share.max(1e-9))) {} }
                        td { (words::number(row.excess_flow_t)) } td { (known(row.excess_over_peers_t)) }
                        td { (known(row.excess_heat_gj)) }
                        td { (words::number(row.fault_hours)) } td { (row.incidents) } td { (row.tickets) }
                        td.l { @for (index, kind) in row.kinds.iter().enumerate() { @if index > 0 { ", " } (words::kind(self.lang, kind)) } }
                    } } }
                } }
                (self.more(ranking.rows.len(), ranking.of))
            }
        }
    }

    fn peers(&self, peers: &Peers) -> Markup {
        let least = |number: usize| words::number(crate::figure::count(number as u64));
        html! {
            h2.section { (self.t("整季回水高于同类站的热力站", "Stations whose return stands above their peers' all season")) }
            p.faint {
                (self.t("逐日与同网、规模相近的站比较回水温度，按自身流量加权；高出 ", "Held day by day against stations of like size in the same network, weighted by their own flow; told from "))
                (words::number(ABOVE_KELVIN)) (self.t(" K 起，且明显超出同类站之间的差异才列出；至少 ", " K on, where it is clearly beyond what peers differ by; at least "))
                (least(PEERS_MIN)) (self.t(" 个同类站、", " peers and ")) (least(DAYS_MIN)) (self.t(" 天。多耗流量：同样热量按同类站回水所需之外的流量。", " days. Excess flow: beyond what the same heat would have needed at the peers' return."))
                " " (self.t("已比较 ", "Judged: ")) (peers.judged) (self.t(" 站，缺规模、天数或同类站未比较 ", " stations; not judged for want of size, days or peers: ")) (peers.not_judged) (self.t(" 站。", "."))
            }
            @if peers.ranking.rows.is_empty() { p { (self.t("没有。", "None.")) } } @else {
                div.scroll tabindex="0" { table {
                    thead { tr {
                        th {} th.l { (self.t("热力站", "Station")) } th.l { (self.t("热网", "Network")) }
                        th { (self.t("高出，K", "Above, K")) } th { (self.t("回水 / 同类站，℃", "Return / peers', ℃")) }
                        th { (self.t("多耗流量，t ÷ 流量，t", "Excess, t ÷ flow, t")) }
                        th { (self.t("单位热量流量，t/GJ；同类站", "Flow per heat, t/GJ; peers'")) }
                        th { (self.t("同类站 · 天", "Peers · days")) } th { (self.t("规模", "Size")) }
                    } }
                    tbody { @for (index, row) in peers.ranking.rows.iter().enumerate() { (self.peer(index, row)) } }
                } }
                (self.more(peers.ranking.rows.len(), peers.ranking.of))
            }
        }
    }

    fn peer(&self, index: usize, row: &PeerRow) -> Markup {
        html! { tr {
            td { (index + 1) } td.l { (row.name.as_deref().unwrap_or(row.station.as_str())) } td.l { (row.network) }
            td { (words::number(row.above_kelvin)) }
            td { (words::number(row.return_celsius)) " / " (words::number(row.peers_return_celsius)) }
            td { (known(row.excess_flow_t)) div.small { "÷ " (known(row.flow_t)) } }
            td { (known(row.flow_per_heat)) "; " (known(row.peers_flow_per_heat))
                div.small { (known(row.flow_t)) " ÷ " (known(row.heat_gj)) } }
            td { (row.peers) " · " (row.days) }
            td { (words::number(row.size)) " " (words::size(row.size_basis)) }
        } }
    }

    fn pipes(&self, ranking: &Ranking<PipeRow>) -> Markup {
        html! {
            h2.section { (self.t("管段夏季检修排序", "Pipes for summer maintenance")) }
            p.faint { (self.t(
                "查明管段的计一次；未查明的按候选概率分摊。",
                "A loss whose pipe was found counts there; else it is shared by the candidates' probabilities.",
            )) }
            @if ranking.rows.is_empty() { p { (self.t("没有。", "None.")) } } @else {
                div.scroll tabindex="0" { table {
                    thead { tr {
                        th {} th.l { (self.t("管段", "Pipe")) } th.l { (self.t("热网", "Network")) }
                        th { (self.t("期望失水，m³", "Expected water, m³")) } th { (self.t("期望次数", "Expected losses")) }
                        th { (self.t("查明次数", "Found")) } th { (self.t("长度，m", "Length, m")) }
                        th { (self.t("敷设年", "Laid")) } th.l { (self.t("材质", "Material")) }
                    } }
                    tbody { @for (index, row) in ranking.rows.iter().enumerate() { tr {
                        td { (index + 1) } td.l { (row.pipe) } td.l { (row.network) }
                        td { (words::number(row.expected_water_m3)) } td { (format!("{:.2}", row.expected_losses)) }
                        td { (row.found) } td { (known(row.length_m)) }
                        td { @if let Some(year) = row.laid_year { (year) } @else { "–" } }
                        td.l { (row.material.as_deref().unwrap_or("–")) }
                    } } }
                } }
                (self.more(ranking.rows.len(), ranking.of))
            }
        }
    }

    fn conversions(&self, conversions: &[Conversion]) -> Markup {
        /// A figure, what it is a share of, and by what it was divided.
        type Figure = (Option<f64>, Option<f64>, Option<f64>);
        let row = |title: &'static str, of: &dyn Fn(&Stretch) -> Figure, c: &Conversion| {
            html! { tr { td.l { (title) } @for side in [&c.before, &c.after] {
                @let (value, over, under) = of(side);
                td { (known(value)) div.small { (known(over)) " ÷ " (known(under)) } }
            } } }
        };
        let days = |count: usize| crate::figure::count(count as u64);
        html! { @if !conversions.is_empty() {
            h2.section { (self.t("汽改水：改造前后", "From steam to water: before and after")) }
            @for conversion in conversions { div.scroll tabindex="0" { table {
                thead { tr {
                    th.l { (conversion.circuit) " · " (conversion.converted_on) " · "
                        @if conversion.stations > 0 { (conversion.stations) " " (self.t("座热力站", "stations")) }
                        @else { (self.t("全网", "whole network")) } }
                    th { (self.t("改造前", "Before")) " (" (conversion.before.days) " d)" }
                    th { (self.t("改造后", "After")) " (" (conversion.after.days) " d)" }
                } }
                tbody {
                    (row(self.t("单位面积、度日供热量，kJ/(m²·K·d)；GJ ÷ m²·K·d", "Heat, kJ/(m²·K·d); GJ ÷ m²·K·d"),
                        &|s| (s.heat_kj_m2_k_d, s.heat_gj, s.area_degree_days), conversion))
                    (row(self.t("补水，m³/d；m³ ÷ d", "Make-up, m³/d; m³ ÷ d"),
                        &|s| (s.make_up_m3.map(|water| water / days(s.make_up_days).max(1.0)), s.make_up_m3, Some(days(s.make_up_days))), conversion))
                    (row(self.t("凝结水回收率，%；t ÷ t", "Condensate returned, %; t ÷ t"),
                        &|s| (s.condensate_share.map(|share| share * 100.0), s.condensate_t, s.steam_t), conversion))
                    (row(self.t("投诉，件/万户·30 d；件 ÷ 户", "Complaints per 10,000 households and 30 d; tickets ÷ households"),
                        &|s| (s.complaints_per_10_000_month, Some(crate::figure::count(s.tickets)), s.households), conversion))
                }
            } } }
        } }
    }

    fn communities(&self, rows: &[CommunityRow]) -> Markup {
        let shown = &rows[..rows.len().min(COMMUNITIES)];
        let cell = |rooms: Option<&RoomShare>| {
            html! { td { @match rooms {
                Some(rooms) => { (words::number(100.0 * rooms.share)) div.small { (rooms.measured) " / " (rooms.homes) } },
                None => "–",
            } } }
        };
        html! { @if !shown.is_empty() {
            h2.section { (self.t("室温合格率：按小区和一天中的小时", "Rooms by community and hour of the day")) }
            p.faint { (self.t(
                "合格率，%；其下为有测户时 / 户数。小区按供热的热力站；不足十户的小时不列，也不计入合计；合格率低的在前。",
                "Share at the promised temperature, %; below it home-hours measured / homes. A community is what a station feeds; \
                 an hour of fewer than ten homes is neither told nor in the sum; the smallest share comes first.",
            )) }
            div.scroll tabindex="0" { table {
                thead { tr {
                    th.l { (self.t("小区", "Community")) } th { (self.t("合计", "All")) }
                    @for hour in 0..DAY_HOURS { th { (hour) } }
                } }
                tbody { @for row in shown { tr {
                    th.l scope="row" { (row.name.as_deref().unwrap_or(row.community.as_str())) }
                    (cell(Some(&row.all)))
                    @for rooms in &row.hours { (cell(rooms.as_ref())) }
                } } }
            } }
            (self.more(shown.len(), rows.len()))
        } }
    }

    fn scopes(&self) -> Markup {
        let of_kind = |kind: &'static str| {
            self.report.scopes.iter().filter(move |scope| words::scope_kind(&scope.scope) == kind)
        };
        html! { @for (kind, title) in [
            ("operator", self.t("按供热企业", "By operator")),
            ("district", self.t("按区域", "By district")),
            ("network", self.t("按热网", "By network")),
        ] {
            @if of_kind(kind).next().is_some() {
                h2.section { (title) }
                div.scroll tabindex="0" { table.wide {
                    thead { tr { th.l {} @for id in Id::ALL {
                        @let words = id.words();
                        th { (self.lang.pick(words.title)) div.small { (self.lang.pick(words.unit)) } }
                    } } }
                    tbody { @for scope in of_kind(kind) { tr {
                        th.l scope="row" { (words::scope(self.lang, &scope.scope)) }
                        @for figure in &scope.figures { td {
                            (known(figure.value))
                            div.small { (known(figure.numerator)) " ÷ " (known(figure.denominator)) }
                        } }
                    } } }
                } }
            }
        } }
    }

    fn coverage(&self, coverage: &Coverage) -> Markup {
        html! {
            h2.section { (self.t("依据", "What this rests on")) }
            p { (self.t("度日基准 ", "Degree-days below ")) (words::number(self.report.base_celsius)) " ℃"
                (self.t("；室温承诺 ", "; promised room temperature ")) (words::number(self.report.promised_celsius)) " ℃"
                (self.t("；未测补水温度按 ", "; make-up water where not measured ")) (words::number(crate::report::MAKE_UP_CELSIUS)) " ℃"
                (self.t("；一天至少 18 h 有数才计。", "; a day counts with 18 hours of data or more.")) }
            p { (self.t("“–” 表示缺少数据或台账，不是零。", "“–” means that data or plant tables are missing; it is not zero.")) }
            div.scroll tabindex="0" { table {
                thead { tr { th.l { (self.t("热网", "Network")) } th { (self.t("计热天数", "Days judged, heat")) }
                    th { (self.t("计补水天数", "Days judged, make-up")) } th { (self.t("期间天数", "Days of the span")) } } }
                tbody { @for (network, [heat, make_up]) in &coverage.networks { tr {
                    td.l { (network) } td { (heat) } td { (make_up) } td { (words::number(coverage.days)) }
                } } }
            } }
            @if !coverage.borrowed_weather.is_empty() { p.faint {
                (self.t("没有自己的室外温度、借用他网的：", "No outdoor temperature of their own, others' taken: "))
                @for (index, network) in coverage.borrowed_weather.iter().enumerate() { @if index > 0 { ", " } (network) }
            } }
            @if coverage.refused > 0 { p.bad { (coverage.refused) (self.t(" 条超出上限未计入。", " rows were beyond a bound and are not in it.")) } }
            @if coverage.unusable_units > 0 { p.faint { (coverage.unusable_units) (self.t(" 个小时值单位不符，未计入。", " hours in a unit that does not measure the quantity were left out.")) } }
        }
    }
}
