import Foundation
import Limits
import Testing

@testable import Configuration

/// Slips in the sections of the certified log and the clock, each with all that has to be said about it.
@Suite struct LogTableTests {
  private static let authority = "{ url: \"https://tsa.test/x\", caFile: ca.pem }"

  /// What is put after `scanner: off`, the last line of `good/smallest.yaml`; what is said, without the file's name.
  static let slips: [(String, String)] = [
    ("certifiedLog:", "17:1: key 'certifiedLog': has no value; give it one, or remove the key"),
    (
      "certifiedLog: 30",
      "17:15: key 'certifiedLog': is '30', but must be a group of keys; give it the keys retentionMonths, marginDays, sealEveryRows, sealDailyAt, extractAddress and timeStamps"
    ),
    ("certifedLog: {}", "17:1: key 'certifedLog': is not known; did you mean 'certifiedLog'?"),
    (
      "certifiedLog: { retentionMonths: 29 }",
      "17:34: key 'certifiedLog.retentionMonths': is '29', which is out of range; write a whole number from 30 to 1200"
    ),
    (
      "certifiedLog: { marginDays: -1 }",
      "17:29: key 'certifiedLog.marginDays': is '-1', which is out of range; write a whole number from 0 to 3650"
    ),
    (
      "certifiedLog: { sealEveryRows: 0 }",
      "17:32: key 'certifiedLog.sealEveryRows': is '0', which is out of range; write a whole number from 10 to 1000000"
    ),
    (
      "certifiedLog: { sealDailyAt: 24:00 }",
      "17:30: key 'certifiedLog.sealDailyAt': is '24:00', which is not a time of day; write one like \"00:10\", from 00:00 to 23:59"
    ),
    (
      "certifiedLog: { sealDailyAt: 0:10 }",
      "17:30: key 'certifiedLog.sealDailyAt': is '0:10', which is not a time of day; write one like \"00:10\", from 00:00 to 23:59"
    ),
    (
      "certifiedLog: { sealDailyAt: 00:60 }",
      "17:30: key 'certifiedLog.sealDailyAt': is '00:60', which is not a time of day; write one like \"00:10\", from 00:00 to 23:59"
    ),
    (
      "certifiedLog: { extractAddress: registro }",
      "17:33: key 'certifiedLog.extractAddress': is 'registro', which is not a mail address; write one like registro@pec.example.org"
    ),
    (
      "certifiedLog: { extractAddress: registro@example.org }",
      "17:33: key 'certifiedLog.extractAddress': is in the domain 'example.org', which is not one of provider.domains; add the domain there, or give an address in one of them"
    ),
    (
      "certifiedLog: { extractAddress: Posta-Certificata@pec.alfa.test }",
      "17:33: key 'certifiedLog.extractAddress': is provider.serviceAddress as well, where other providers' messages come in; give requests a mailbox of their own, such as registro@pec.alfa.test"
    ),
    (
      "certifiedLog: { timeStamps: [] }",
      "17:29: key 'certifiedLog.timeStamps': is a list, but must be a group of keys; give it the keys authorities, timeoutSeconds, toleranceSeconds and renewalDays"
    ),
    (
      "certifiedLog: { timeStamps: { authorities: [] } }",
      "17:44: key 'certifiedLog.timeStamps.authorities': is an empty list; name at least one of authorities"
    ),
    (
      "certifiedLog: { timeStamps: { authorities: [{}] } }",
      "17:45: key 'certifiedLog.timeStamps.authorities[0].url': is missing; add it, for example 'url: \"https://tsa.example.org/tsr\"'\n17:45: key 'certifiedLog.timeStamps.authorities[0].caFile': is missing; add it, for example 'caFile: tsa-ca.pem'"
    ),
    (
      "certifiedLog: { timeStamps: { authorities: [{ url: \"ldap://tsa.test\", caFile: ca.pem }] } }",
      "17:52: key 'certifiedLog.timeStamps.authorities[0].url': is 'ldap://tsa.test', which is no place where time stamps can be asked for; write one like \"https://tsa.example.org/tsr\""
    ),
    (
      "certifiedLog: { timeStamps: { authorities: [{ url: \"https://me:secret@tsa.test\", caFile: ca.pem }] } }",
      "17:52: key 'certifiedLog.timeStamps.authorities[0].url': is 'https://me:secret@tsa.test', which is no place where time stamps can be asked for; write one like \"https://tsa.example.org/tsr\""
    ),
    (
      "certifiedLog: { timeStamps: { authorities: [\(authority), \(authority)] } }",
      "17:92: key 'certifiedLog.timeStamps.authorities[1]': has the url of an earlier authority; name another, so that one may fail"
    ),
    (
      "certifiedLog: { timeStamps: { authorities: [{ url: \"http://tsa.test\", caFile: ca.pem, user: me, passwordFile: p }] } }",
      "17:87: key 'certifiedLog.timeStamps.authorities[0].user': would send a password in the clear, as the url is one with http; write a url with https, or remove user and passwordFile"
    ),
    (
      "certifiedLog: { timeStamps: { authorities: [{ url: \"https://tsa.test\", caFile: ca.pem, user: me }] } }",
      "17:45: key 'certifiedLog.timeStamps.authorities[0].passwordFile': is missing; add it, for example 'passwordFile: tsa.password'"
    ),
    (
      "certifiedLog: { timeStamps: { authorities: [{ url: \"https://tsa.test\", caFile: ca.pem, user: \"a:b\", passwordFile: p }] } }",
      "17:94: key 'certifiedLog.timeStamps.authorities[0].user': has a colon, which no user name over HTTP may have (RFC 7617 §2); name it as the authority does"
    ),
    (
      "certifiedLog: { timeStamps: { authorities: [{ url: \"https://tsa.test\", caFile: ca.pem, policy: 1.40.1 }] } }",
      "17:96: key 'certifiedLog.timeStamps.authorities[0].policy': is '1.40.1', which is not an object identifier; write the authority's policy as numbers with dots, like 1.3.76.36.1.1.40"
    ),
    (
      "certifiedLog: { timeStamps: { timeoutSeconds: 121, toleranceSeconds: 0, renewalDays: x } }",
      "17:47: key 'certifiedLog.timeStamps.timeoutSeconds': is '121', which is out of range; write a whole number from 1 to 120\n17:70: key 'certifiedLog.timeStamps.toleranceSeconds': is '0', which is out of range; write a whole number from 1 to 3600\n17:86: key 'certifiedLog.timeStamps.renewalDays': is 'x', but must be a whole number; write a whole number from 1 to 3650"
    ),
    (
      "clock: required",
      "17:8: key 'clock': is 'required', but must be a group of keys; give it the keys limitMilliseconds and synchronization"
    ),
    (
      "clock: { limitMilliseconds: 1001 }",
      "17:29: key 'clock.limitMilliseconds': is '1001', which is out of range; write a whole number from 10 to 1000"
    ),
    (
      "clock: { limitMilliseconds: 0.5 }",
      "17:29: key 'clock.limitMilliseconds': is '0.5', but must be a whole number; write a whole number from 10 to 1000"
    ),
    (
      "clock: { synchronization: requird }",
      "17:27: key 'clock.synchronization': is 'requird', which is not known; did you mean 'required'?"
    ),
    (
      "limits: { deadlines: 12 }",
      "17:22: key 'limits.deadlines': is '12', but must be a group of keys; give it the keys firstSeconds and secondSeconds"
    ),
    (
      "limits: { deadlines: { firstSeconds: 43201 } }",
      "17:38: key 'limits.deadlines.firstSeconds': is '43201', which is out of range; write a whole number from 1 to 43200"
    ),
    (
      "limits: { deadlines: { secondSeconds: 86401 } }",
      "17:39: key 'limits.deadlines.secondSeconds': is '86401', which is out of range; write a whole number from 2 to 86400"
    ),
    (
      "limits: { deadlines: { firstSeconds: 5, secondSeconds: 5 } }",
      "17:24: key 'limits.deadlines.firstSeconds': is not below limits.deadlines.secondSeconds; lower the one or raise the other"
    ),
    (
      "limits: { deadlines: { secondSeconds: 600 } }",
      "17:24: key 'limits.deadlines.firstSeconds': is not below limits.deadlines.secondSeconds; lower the one or raise the other"
    ),
  ]

  private static func problems(_ lines: String) throws -> String {
    Fixtures.problems(try Fixtures.text("good/smallest.yaml") + lines + "\n").joined(separator: "\n")
      .replacingOccurrences(of: "f.yaml:", with: "")
  }

  @Test(arguments: slips)
  func aSlipIsExplained(lines: String, said: String) throws {
    let found = try Self.problems(lines)
    #expect(found == said, "\(found)")
  }

  @Test(
    arguments: [
      "certifiedLog: {}", "certifiedLog: { sealDailyAt: \"00:00\" }", "certifiedLog: { extractAddress: registro@pec.alfa.test }",
      "certifiedLog: { timeStamps: {} }", "certifiedLog: { timeStamps: { authorities: [\(authority)] } }", "clock: {}",
      "clock: { synchronization: warn }", "limits: { deadlines: {} }", "limits: { deadlines: { firstSeconds: 1, secondSeconds: 2 } }",
    ])
  func whatIsGoodIsTaken(lines: String) throws { #expect(try Self.problems(lines) == "") }

  @Test func eightAuthoritiesAreEnough() throws {
    func section(_ count: Int) -> String {
      let list = (0..<count).map { "{ url: \"https://tsa\($0).test\", caFile: ca.pem }" }.joined(separator: ", ")
      return "certifiedLog: { timeStamps: { authorities: [\(list)] } }"
    }
    #expect(try Self.problems(section(8)) == "")
    #expect(
      try Self.problems(section(9))
        == "17:44: key 'certifiedLog.timeStamps.authorities': names 9 authorities; keep 8 of them at the most")
  }

  @Test(
    arguments: [
      ("00:00", 0), ("00:10", 600), ("23:59", 86_340), ("09:05", 32_700), ("24:00", nil), ("12:60", nil), ("1:00", nil), ("01:0", nil),
      ("0100", nil), ("01-00", nil), ("0a:00", nil), ("", nil), ("01:00 ", nil), ("٠١:٠٠", nil),
    ] as [(String, Int?)])
  func timesOfDay(text: String, seconds: Int?) {
    let time = TimeOfDay(text)
    #expect(time?.secondsOfDay == seconds)
    if let time { #expect(time.description == text) }
  }

  @Test(
    arguments: [
      ("1.2", true), ("2.999.1", true), ("0.39", true), ("1.3.6.1.4.1.601.10.3.1", true), ("1", false), ("3.1", false), ("0.40", false),
      ("1.02", false), ("1..2", false), ("1.2.", false), ("1.a", false), ("", false), ("1.1234567890123456789", false),
    ])
  func objectIdentifiers(text: String, isGood: Bool) { #expect(Words.isObjectIdentifier(text) == isGood) }

  @Test func thePasswordIsTheFirstLineOfItsFile() throws {
    let path = FileManager.default.temporaryDirectory.appendingPathComponent("tsa-\(UUID().uuidString)").path
    try "gehéim\r\nrest\n".write(toFile: path, atomically: true, encoding: .utf8)
    defer { try? FileManager.default.removeItem(atPath: path) }
    var authority = TimeStampAuthoritySettings(url: "https://tsa.test", caFile: "/ca.pem")
    #expect(try authority.password() == nil)
    authority.user = "alfa"
    authority.passwordFile = path
    #expect(try authority.password() == "gehéim")
    authority.passwordFile = path + ".missing"
    #expect(throws: ConfigurationErrors.self) { try authority.password() }
  }

  @Test func whatIsNamedMustBeThere() throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("log-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    for name in ["signer.pem", "signer.key", "users"] { try "x".write(toFile: folder.path + "/" + name, atomically: true, encoding: .utf8) }
    let file = folder.path + "/gateway.yaml"
    let lines = "certifiedLog: { timeStamps: { authorities: [\(Self.authority)] } }\n"
    try (Fixtures.text("good/smallest.yaml") + lines).write(toFile: file, atomically: true, encoding: .utf8)
    let error = try #require(throws: ConfigurationErrors.self) { try GatewayConfiguration.load(path: file) }
    #expect(
      error.description
        == "\(file):17:82: key 'certifiedLog.timeStamps.authorities[0].caFile': names the file '\(folder.path)/ca.pem', which does not exist; mend the name, or the file's place and permissions"
    )
    try "x".write(toFile: folder.path + "/ca.pem", atomically: true, encoding: .utf8)
    #expect(try GatewayConfiguration.load(path: file).certifiedLog.timeStamps.authorities.count == 1)
  }
}
