import ClockWatch
import Configuration
import SMTPWire
import Supervision
import Testing

@testable import Operations

private let day: Int64 = 86_400
/// 2026-11-22 00:00 UTC.
private let now: Int64 = 1_795_305_600

@Suite struct DoctorJudgeTests {
  private let judge = DoctorJudge(now: now)

  private func certificate(_ notBefore: Int64, _ notAfter: Int64) -> DoctorFinding {
    judge.certificate("c", "f", subject: "CN=A", notBefore: now + notBefore, notAfter: now + notAfter, remedy: "renew", runbook: "r")
  }

  @Test func certificatesEndInStepsOfNinetyThirtyAndSevenDays() {
    let cases: [(Int64, DoctorLevel)] = [
      (400 * day, .ok), (90 * day + 1, .ok), (90 * day, .note), (30 * day + 1, .note), (30 * day, .warning), (7 * day + 1, .warning),
      (7 * day, .wrong), (0, .wrong), (-1, .wrong), (-400 * day, .wrong),
    ]
    for (left, level) in cases { #expect(certificate(-day, left).level == level, "\(left)") }
    #expect(certificate(-day, 5 * day).found == "CN=A: 2026-11-21 to 2026-11-27, ends in 5 days")
    #expect(certificate(-day, 5 * day).remedy == "renew")
    #expect(certificate(-day, 400 * day).remedy.isEmpty)
    #expect(certificate(-9 * day, -3 * day).found == "CN=A: ended on 2026-11-19, 3 days ago")
    let early = certificate(2 * day, 400 * day)
    #expect(early.level == .wrong)
    #expect(early.found == "CN=A: not valid before 2026-11-24, in 2 days")
    #expect(early.remedy.contains("clock"))
  }

  @Test func timesAreSaidInOneUnit() {
    #expect(
      [-5, 0, 3599, 3600, day - 1, day, 2 * day - 1, 2 * day].map(DoctorJudge.left) == [
        "0 hours", "0 hours", "0 hours", "1 hour", "23 hours", "1 day", "1 day", "2 days",
      ])
  }

  @Test func revocationListsAreFaultyOnlyWhenOverdue() {
    #expect(judge.revocation("l", lists: 1, nextDue: now + 1).level == .ok)
    #expect(judge.revocation("l", lists: 1, nextDue: now - 1).level == .warning)
    #expect(judge.revocation("l", lists: 2, nextDue: now - 8 * day).level == .wrong)
    #expect(judge.revocation("l", lists: 2, nextDue: now - 8 * day).found == "2 lists, overdue since 2026-11-14, for 8 days")
    #expect(judge.revocation("l", lists: 0, nextDue: nil).level == .warning)
  }

  @Test func signaturesAgeByDays() {
    let levels = [0, 3 * day, 3 * day + 1, 7 * day, 7 * day + 1].map { judge.signatures("d", newest: now - $0, versions: "").level }
    #expect(levels == [.ok, .ok, .warning, .warning, .wrong])
    #expect(judge.signatures("d", newest: nil, versions: "").level == .wrong)
    #expect(judge.signatures("d", newest: now, versions: "daily 27801").found == "of 2026-11-22, 0 hours old; daily 27801")
    // A file from the future is not old.
    #expect(judge.signatures("d", newest: now + day, versions: "").level == .ok)
  }

  @Test func anIndexThatIsFetchedMayBeTwoDaysOld() {
    let ages = [2 * day, 2 * day + 1, 7 * day + 1]
    #expect(ages.map { judge.indexAge("i", confirmedAt: now - $0, isFetched: true, contents: "").level } == [.ok, .warning, .wrong])
    #expect(ages.map { judge.indexAge("i", confirmedAt: now - $0, isFetched: false, contents: "").level } == [.ok, .note, .warning])
  }

  @Test func theClockIsTheConfigurationsMatter() {
    func look(_ error: Int64, _ settings: ClockSettings) -> DoctorFinding {
      let policy = ClockPolicy(
        limitMilliseconds: settings.limitMilliseconds, requiresSynchronization: settings.synchronization == .required)
      let reading = ClockReading(realtimeMicroseconds: 0, boottimeMicroseconds: 0, maximumErrorMicroseconds: error)
      return judge.clock(ClockMonitor(policy: policy) { reading }.look(), settings)
    }
    #expect(look(20_000, ClockSettings()).level == .ok)
    #expect(look(16_000_000, ClockSettings()).level == .wrong)
    #expect(look(16_000_000, ClockSettings(synchronization: .warn)).level == .note)
    #expect(look(2_000_000, ClockSettings(synchronization: .warn)).level == .wrong)
    #expect(judge.clock(isTrusted: false, reason: "stepped", isSynchronized: true, words: "").found.contains("stepped"))
    #expect(judge.clock(isTrusted: true, reason: nil, isSynchronized: true, words: "w").level == .ok)
    #expect(judge.clock(isTrusted: true, reason: nil, isSynchronized: false, words: "w").level == .note)
  }

  @Test func disksHaveAFloorAndFourTimesIt() {
    func level(_ free: Int64, _ floor: Int64) -> [DoctorLevel] {
      DoctorJudge.disk(DiskFigures(uses: ["spool"], path: "/d", freeBytes: free, freeNodes: 0, nodes: 0), minimumFreeBytes: floor).map(
        \.level)
    }
    #expect(level(99, 100) == [.wrong])
    #expect(level(100, 100) == [.warning])
    #expect(level(399, 100) == [.warning])
    #expect(level(400, 100) == [.ok])
    #expect(level(0, 0) == [.ok])
    func nodes(_ free: Int64, _ all: Int64) -> [DoctorLevel] {
      DoctorJudge.disk(DiskFigures(uses: [], path: "/d", freeBytes: 1, freeNodes: free, nodes: all), minimumFreeBytes: 0).dropFirst().map(
        \.level)
    }
    #expect(nodes(999, 1_000_000) == [.wrong])
    #expect(nodes(1000, 1_000_000) == [.warning])
    #expect(nodes(20_000, 1_000_000) == [])
    #expect(nodes(20_000, 2_000_000) == [.warning])
  }

  @Test func descriptorsAndZone() {
    #expect(DoctorJudge.descriptors(1200, connections: 1000, isOfGateway: true).level == .ok)
    #expect(DoctorJudge.descriptors(1199, connections: 1000, isOfGateway: true).level == .warning)
    #expect(DoctorJudge.descriptors(1199, connections: 1000, isOfGateway: false).level == .note)
    #expect(DoctorMachine.openFiles("Limit  Soft\nMax open files            1024                 524288               files\n") == 1024)
    #expect(DoctorMachine.openFiles("Max processes 1 2") == nil)
    #expect(DoctorJudge.zone(winter: 3600, summer: 7200, hasFile: true, variable: nil).level == .ok)
    #expect(DoctorJudge.zone(winter: 0, summer: 0, hasFile: false, variable: nil).remedy.contains("tzdata"))
    #expect(DoctorJudge.zone(winter: 0, summer: 0, hasFile: true, variable: "UTC").level == .warning)
  }

  @Test func theHeadOfASignatureFileNamesItsVersion() {
    let head = Array("ClamAV-VDB:21 Nov 2026 08-00 +0000:27801:2070000:90:abc:def:builder:1795248000".utf8)
    #expect(SignatureHeader.version(head) == 27_801)
    for end in 0..<head.count { _ = SignatureHeader.version(Array(head.prefix(end))) }
    #expect(SignatureHeader.version(Array("nothing:1:2:3:4".utf8)) == nil)
    #expect(SignatureHeader.version([]) == nil)
  }
}

@Suite struct DoctorAccessTests {
  private let root = SystemIdentity(user: 0, groups: [0])
  private let mail = SystemIdentity(user: 8, groups: [8, 50])

  private func file(_ mode: Int, owner: UInt32 = 8, group: UInt32 = 8) -> FileRights {
    FileRights(path: "/f", mode: mode, owner: owner, ownerName: "o\(owner)", group: group)
  }

  @Test func theFirstClassThatFitsDecides() {
    #expect(DoctorAccess.allows(.read, file(0o400), mail))
    // The owner's own bits count, even where others have more.
    #expect(!DoctorAccess.allows(.read, file(0o044), mail))
    #expect(DoctorAccess.allows(.read, file(0o040, owner: 9, group: 50), mail))
    #expect(!DoctorAccess.allows(.read, file(0o404, owner: 9, group: 50), mail))
    #expect(DoctorAccess.allows(.read, file(0o004, owner: 9, group: 9), mail))
    #expect(DoctorAccess.allows(.write, file(0), root))
  }

  private func secret(_ file: FileRights, _ who: SystemIdentity, folders: [FileRights] = []) -> DoctorFinding {
    DoctorAccess.secret("signing key", file, reader: who, readerName: "mail", folders: folders)
  }

  @Test func secretsAreForTheirReaderAlone() {
    #expect(secret(file(0o600), mail).level == .ok)
    #expect(secret(file(0o644), mail).level == .wrong)
    #expect(secret(file(0o644), mail).found == "mode 0644, owner o8: it can be read by everybody on this machine")
    #expect(secret(file(0o602), mail).found.contains("written by everybody"))
    #expect(secret(file(0o640), mail).level == .note)
    #expect(secret(file(0o600, owner: 0), mail).level == .wrong)
    #expect(secret(file(0o600, owner: 0), mail).remedy == "Say `chown mail /f`.")
    #expect(secret(file(0o640, owner: 0, group: 50), mail).level == .note)
    #expect(secret(file(0o600, owner: 9), root).level == .warning)
    let shut = FileRights(path: "/shut", mode: 0o700, owner: 0, ownerName: "root", group: 0)
    #expect(secret(file(0o600), mail, folders: [shut]).found.contains("/shut"))
    #expect(secret(file(0o600), root, folders: [shut]).level == .warning)
  }

  @Test func foldersAreWrittenByTheirUserAlone() {
    func folder(_ file: FileRights, _ folders: [FileRights] = []) -> DoctorLevel {
      DoctorAccess.folder("data directory", file, writer: mail, writerName: "mail", folders: folders, isPrivate: true).level
    }
    #expect(folder(file(0o700)) == .ok)
    #expect(folder(file(0o755)) == .note)
    #expect(folder(file(0o777)) == .wrong)
    #expect(folder(file(0o1777)) == .note)
    #expect(folder(file(0o700, owner: 0, group: 0)) == .wrong)
    #expect(folder(file(0o500)) == .wrong)
    #expect(folder(file(0o700), [file(0o600, owner: 0, group: 0)]) == .wrong)
    #expect(DoctorAccess.settings("c", file(0o646), reader: mail).level == .wrong)
    #expect(DoctorAccess.settings("c", file(0o664), reader: mail).level == .note)
    #expect(DoctorAccess.settings("c", file(0o644), reader: mail).level == .ok)
    #expect(DoctorAccess.settings("c", file(0o644, owner: 9), reader: mail).level == .warning)
    #expect([0, 0o600, 0o1777].map(DoctorAccess.octal) == ["0000", "0600", "1777"])
  }
}

@Suite struct DoctorTalkTests {
  private let ehlo = Reply(code: 250, enhanced: nil, lines: ["mx.b.test greets", "SIZE 1000", "starttls", "8BITMIME", "AUTH PLAIN LOGIN"])

  @Test func aTalkInClear() {
    var talk = ProbeDialogue(hello: "EHLO a.test", security: .never)
    #expect(talk.take(.connected) == .wait)
    #expect(talk.take(.reply(Reply(220, nil, "mx.b.test ESMTP"))) == .send("EHLO a.test\r\n"))
    #expect(talk.take(.reply(ehlo)) == .finished)
    #expect(talk.take(.broken("late")) == .wait)
    #expect(talk.heard.name == "mx.b.test")
    #expect(talk.heard.keywords?["SIZE"] == "1000")
    #expect(talk.heard.offersTLS)
    #expect(talk.heard.stage == nil)
  }

  @Test func aTalkThatBeginsTLS() {
    for security in [ProbeDialogue.Security.offered, .demanded] {
      var talk = ProbeDialogue(hello: "LHLO a.test", security: security)
      _ = talk.take(.connected)
      _ = talk.take(.reply(Reply(220, nil, "b")))
      #expect(talk.take(.reply(ehlo)) == .send("STARTTLS\r\n"))
      #expect(talk.take(.reply(Reply(220, nil, "go"))) == .secure)
      #expect(talk.take(.secured(version: "TLSv1.3", certificate: [1])) == .send("LHLO a.test\r\n"))
      #expect(talk.take(.reply(Reply(250, nil, "b"))) == .finished)
      #expect(talk.heard.keywords == [:])
      #expect(talk.heard.certificate == [1])
    }
    var talk = ProbeDialogue(hello: "EHLO a.test", security: .implicit)
    #expect(talk.take(.connected) == .secure)
    #expect(talk.take(.secured(version: nil, certificate: nil)) == .wait)
    #expect(talk.take(.reply(Reply(220, nil, "b"))) == .send("EHLO a.test\r\n"))
  }

  @Test func wherePeersFail() {
    func heard(_ security: ProbeDialogue.Security, _ events: [ProbeDialogue.Event]) -> ProbeHeard {
      var talk = ProbeDialogue(hello: "EHLO a", security: security)
      for event in events { _ = talk.take(event) }
      return talk.heard
    }
    let greeting = ProbeDialogue.Event.reply(Reply(220, nil, "b"))
    #expect(heard(.never, [.broken("refused")]).stage == .connecting)
    #expect(heard(.never, [.connected, .broken("silence")]).stage == .greeting)
    #expect(heard(.never, [.connected, .reply(Reply(421, nil, "busy"))]).fault == "it said: 421 busy")
    #expect(heard(.never, [.connected, greeting, .broken("gone")]).stage == .hello)
    #expect(heard(.never, [.connected, greeting, .reply(Reply(502, nil, "no"))]).keywords == nil)
    #expect(heard(.never, [.connected, greeting, .reply(Reply(502, nil, "no"))]).stage == nil)
    #expect(heard(.demanded, [.connected, greeting, .reply(Reply(250, nil, "b"))]).fault == "it does not offer STARTTLS")
    #expect(heard(.offered, [.connected, greeting, .reply(Reply(250, nil, "b"))]).stage == nil)
    #expect(heard(.offered, [.connected, greeting, .reply(ehlo), .reply(Reply(454, nil, "not now"))]).stage == .security)
    #expect(heard(.offered, [.connected, greeting, .reply(ehlo), greeting, .broken("alert")]).stage == .security)
    #expect(heard(.implicit, [.connected, .broken("no TLS")]).stage == .security)
    #expect(heard(.never, [.reply(Reply(220, nil, "early"))]).stage == .connecting)
  }

  private func demand(_ kind: HopDemand.Kind = .route, tls: RouteTLS = .never, bytes: Int = 500, auth: Bool = false) -> HopDemand {
    HopDemand(kind: kind, looked: "b:25", tls: tls, largestBytes: bytes, needsAuthentication: auth)
  }

  private func heard(_ keywords: [String: String]?) -> ProbeHeard { ProbeHeard(greeting: Reply(220, nil, "b ESMTP"), keywords: keywords) }

  @Test func nextHopsMustDoWhatIsAsked() {
    let all = ["SIZE": "1000", "8BITMIME": "", "DSN": "", "AUTH": "LOGIN PLAIN"]
    #expect(demand().judge(heard(all)).level == .ok)
    #expect(demand(bytes: 1001).judge(heard(all)).level == .warning)
    #expect(demand(bytes: 1001).judge(heard(["8BITMIME": "", "SIZE": "0"])).level == .ok)
    #expect(demand(auth: true).judge(heard(all)).level == .ok)
    #expect(demand(auth: true).judge(heard(["AUTH": "LOGIN"])).level == .wrong)
    #expect(demand(.mailboxServer).judge(heard(all)).level == .ok)
    #expect(demand(.mailboxServer).judge(heard(["8BITMIME": ""])).level == .wrong)
    #expect(demand().judge(heard([:])).level == .note)
    #expect(demand().judge(heard(nil)).level == .note)
    #expect(demand(.dovecot).judge(ProbeHeard(greeting: Reply(220, nil, "PLAIN"))).level == .ok)
    for stage in [ProbeStage.connecting, .greeting, .hello] {
      #expect(demand().judge(ProbeHeard(stage: stage, fault: "silence")).level == .wrong)
    }
    #expect(demand(tls: .required).judge(ProbeHeard(stage: .security, fault: "x")).level == .wrong)
    #expect(demand(tls: .opportunistic).judge(ProbeHeard(stage: .security, fault: "x")).found.contains("in clear"))
  }

  @Test func listenersMustBeOurs() {
    func judge(_ heard: ProbeHeard, tls: Bool = true, refuses: Bool = false, shown: DoctorLevel = .ok) -> DoctorFinding {
      ListenerDemand(kind: "incoming", looked: "a:25", hostname: "mx.A.test", certificates: [[1]], asksTLS: tls, refusesUs: refuses)
        .judge(heard) { _ in DoctorFinding(shown, "", "", "CN=old") }
    }
    let greeting = Reply(220, nil, "MX.a.test ESMTP")
    #expect(judge(ProbeHeard(greeting: greeting, keywords: [:], certificate: [1])).level == .ok)
    let old = judge(ProbeHeard(greeting: greeting, keywords: [:], certificate: [2]))
    #expect(old.level == .warning)
    #expect(old.remedy.contains("reload"))
    #expect(judge(ProbeHeard(greeting: greeting, keywords: [:], certificate: [2]), shown: .wrong).level == .wrong)
    #expect(judge(ProbeHeard(greeting: greeting, keywords: [:])).level == .wrong)
    #expect(judge(ProbeHeard(greeting: greeting, keywords: [:]), tls: false).level == .ok)
    #expect(judge(ProbeHeard(greeting: Reply(220, nil, "other"), keywords: [:], certificate: [1])).level == .wrong)
    #expect(judge(ProbeHeard(stage: .connecting, fault: "refused")).level == .wrong)
    #expect(judge(ProbeHeard(stage: .security, fault: "x")).runbook == "tls-certificate")
    let busy = ProbeHeard(greeting: Reply(421, nil, "busy"), stage: .greeting, fault: "it said: 421 busy")
    #expect(judge(busy).level == .warning)
    #expect(judge(busy, refuses: true).level == .ok)
  }

  @Test func listenersInTheKernelsTable() {
    let table = """
      sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
       0: 0100007F:0019 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0 100 0 0 10 0
       1: 0100007F:0019 0100007F:C001 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 0 100 0 0 10 0
       2: 00000000:024B 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4713 1 0 100 0 0 10 0
      """
    #expect(PortHolders.inodes(ofListenersOn: 25, in: table) == [4711])
    #expect(PortHolders.inodes(ofListenersOn: 587, in: table) == [4713])
    #expect(PortHolders.inodes(ofListenersOn: 26, in: table) == [])
  }
}

@Suite struct DoctorTableTests {
  private let findings = [
    DoctorFinding(.wrong, "next hop", "mx:25", "no connection", "Mend it.", runbook: "next-hop-down"), .ok("clock", "kernel", "fine"),
    DoctorFinding(.warning, "disk", "/d", "full soon", "Make room."), DoctorFinding(.note, "host name", "a", "no name"),
  ]

  @Test func theGravestStandsLast() {
    let report = DoctorReport(at: now, gateway: "running", findings: findings)
    #expect(report.checks.map(\.level) == [.ok, .note, .warning, .wrong])
    #expect(report.worst == .wrong)
    #expect(DoctorReport(at: now, gateway: "absent", findings: []).worst == .ok)
    #expect(DoctorLevel.allCases.map(\.exitCode) == [0, 0, 1, 2])
  }

  @Test func linesFitIntoTheTerminal() {
    let long = DoctorFinding(
      .wrong, "certificate", String(repeating: "x", count: 300), "a b\u{1b}[2J " + String(repeating: "word ", count: 80), "r")
    for columns in [60, 80, 120, 250] {
      let lines = DoctorTable(
        report: DoctorReport(at: now, gateway: "running", findings: findings + [long]), columns: columns, colours: false
      ).lines
      for line in lines {
        #expect(line.count <= columns, "\(columns): \(line)")
        #expect(!line.contains("\u{1b}"))
      }
      #expect(lines.joined(separator: " ").hasSuffix("5 checks: 2 wrong, 1 warning, 1 note, 1 ok. The gateway runs."))
    }
    let lines = DoctorTable(report: DoctorReport(at: now, gateway: "absent", findings: findings), columns: 120, colours: false).lines
    #expect(lines[0] == "ok       clock                kernel: fine")
    #expect(lines.contains("                              -> Mend it. (runbook: next-hop-down)"))
  }

  @Test func whatWasLookedAtIsSaidOnce() {
    #expect(DoctorFinding(.wrong, "c", "/f", "/f: cannot be read").found == "cannot be read")
    #expect(DoctorFinding(.wrong, "c", "/f", "/fg: cannot be read").found == "/fg: cannot be read")
    #expect(DoctorFinding(.wrong, "c", "", ": x").found == ": x")
  }

  @Test func coloursAreForTerminals() {
    let lines = DoctorTable(report: DoctorReport(at: now, gateway: "absent", findings: findings), columns: 120, colours: true).lines
    #expect(lines.contains { $0.contains("\u{1b}[1;31mwrong") })
  }

  @Test func wordsAreKeptWhole() {
    #expect(DoctorTable.wrapped("one two three", 7) == ["one two", "three"])
    #expect(DoctorTable.wrapped("abcdefghij", 4) == ["abcd", "efgh", "ij"])
    #expect(DoctorTable.wrapped("abcdefgh", 4) == ["abcd", "efgh"])
    #expect(DoctorTable.wrapped("", 4) == [""])
  }
}
