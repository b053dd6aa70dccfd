import Foundation
import Synchronization
import Testing

@testable import Accounts

@Suite struct PasswordHashTests {
  @Test(arguments: PasswordHash.Scheme.allCases)
  func roundTrip(_ scheme: PasswordHash.Scheme) throws {
    for password in ["anna-secret", "p", "pàsswörd ✓", String(repeating: "x", count: 72)] {
      let hash = try PasswordHash.make(password, scheme: scheme)
      #expect(hash.field.hasPrefix("{\(scheme.rawValue)}$"))
      #expect(hash.matches(password))
      for other in [password + "x", String(password.dropLast()), password.uppercased() + "!", ""]
      where scheme != .blowfishCrypt || password.utf8.count < 72 {
        #expect(!hash.matches(other))
      }
      // What was written is read again.
      #expect(try PasswordHash(field: hash.field) == hash)
      #expect(try PasswordHash(field: hash.setting).matches(password))
      #expect(try PasswordHash.make(password, scheme: scheme) != hash, "the salt is fresh")
    }
  }

  @Test func theCommandsHashesAreTaken() throws {
    for kind in ["-6", "-5"] {
      let process = Process()
      process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
      process.arguments = ["openssl", "passwd", kind, "anna-secret"]
      let pipe = Pipe()
      process.standardOutput = pipe
      try process.run()
      let line = String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self).trimmingCharacters(in: .newlines)
      process.waitUntilExit()
      let hash = try PasswordHash(field: line)
      #expect(hash.matches("anna-secret") && !hash.matches("aldo-secret"))
    }
  }

  /// The vectors that the authors of SHA-crypt and bcrypt published.
  @Test(arguments: [
    ("Hello world!", "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1"),
    (
      "Hello world!",
      "{SHA512-CRYPT}$6$rounds=10000$saltstringsaltst$OW1/O6BYHV6BcXZu8QVeXbDWra3Oeqh0sbHbbMCVNSnCM/UrjmM0Dp8vOuZeHBy/YTBmSK6H9qs/y3RnOaw5v."
    ),
    ("Hello world!", "{sha256-crypt}$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5"),
    ("U*U", "{BLF-CRYPT}$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"),
  ])
  func publishedVectors(_ row: (password: String, field: String)) throws {
    let hash = try PasswordHash(field: row.field)
    #expect(hash.matches(row.password))
    #expect(!hash.matches(row.password + " "))
  }

  private typealias Row = (field: String, refusal: PasswordHash.Refusal)
  private static let eightySix = String(repeating: "a", count: 86)
  private static let refused: [Row] = [
    ("{PLAIN}secret", .clearText("PLAIN")), ("{PLAIN}", .clearText("PLAIN")), ("{cleartext}$6$salt$\(eightySix)", .clearText("CLEARTEXT")),
    ("secret", .malformed("crypt")), ("", .malformed("crypt")), ("{SHA512-CRYPT", .malformed("{SCHEME}hash")),
    ("{SHA512-CRYPT}", .malformed("crypt")), ("$6$sa lt$x", .malformed("crypt")), ("{}$", .unknownScheme("")),
    ("abJnggxhB/yWI", .weak("DES")), ("_J9..CCCCXBrJUJV154M", .weak("DES")), ("$1$salt$qJH7.N4xYta3aEG/dfqo/0", .weak("$1$")),
    ("{MD5-CRYPT}$1$salt$qJH7.N4xYta3aEG/dfqo/0", .weak("MD5-CRYPT")), ("{SSHA}abcdef", .weak("SSHA")),
    ("$9$abc$def", .unknownScheme("$9$")), ("$$$$", .unknownScheme("$$")), ("{ARGON2ID}$argon2id$v=19$x", .unknownScheme("ARGON2ID")),
    ("$6$$", .malformed("SHA512-CRYPT")), ("$6$salt$short", .malformed("SHA512-CRYPT")),
    ("$6$rounds=x$salt$\(eightySix)", .malformed("SHA512-CRYPT")), ("$6$rounds=999999999$salt$\(eightySix)", .tooCostly("SHA512-CRYPT")),
    ("{SHA256-CRYPT}$6$salt$\(eightySix)", .malformed("SHA256-CRYPT")), ("$2y$05$abc", .malformed("BLF-CRYPT")),
    ("$2y$31$\(eightySix.prefix(53))", .tooCostly("BLF-CRYPT")), ("$y$j9T$short", .malformed("CRYPT")),
  ]

  @Test func refusals() {
    for row in Self.refused {
      #expect(throws: row.refusal, "\(row.field)") { try PasswordHash(field: row.field) }
      #expect(!row.refusal.description.isEmpty)
    }
  }

  @Test func unusablePasswords() throws {
    let hash = try PasswordHash.make("secret")
    #expect(!hash.matches("secret\0"))
    #expect(!hash.matches("secret\0more"))
    #expect(!hash.matches(""))
    for password in ["", "a\0b", String(repeating: "x", count: 512)] {
      #expect(throws: PasswordHash.Refusal.unusablePassword) { try PasswordHash.make(password) }
      #expect(!hash.matches(password))
    }
    let longest = String(repeating: "y", count: 511)
    #expect(try PasswordHash.make(longest).matches(longest))
    #expect(!PasswordHash.decoy.matches("-") && !PasswordHash.decoy.matches("secret"))
  }
}

@Suite struct PasswordFileTests {
  static let anna = try? PasswordHash.make("anna-secret").field
  static let aldo = try? PasswordHash.make("aldo-secret", scheme: .sha256Crypt).field

  private func file(_ text: String) -> PasswordFile { PasswordFile(Array(text.utf8)) }

  @Test func dovecotsForms() throws {
    let anna = try #require(Self.anna)
    let aldo = try #require(Self.aldo)
    let users = file(
      """
      # the users of pec.alfa.test

      anna@pec.alfa.test:\(anna)
      Aldo@pec.alfa.test:\(aldo):1000:1000:Aldo:/var/mail/aldo:/bin/false:userdb_mail=maildir:~/Maildir nologo=
      \t
      bare@pec.alfa.test:\(anna.drop { $0 != "}" }.dropFirst()):::::
      only@pec.alfa.test
      locked@pec.alfa.test:!:5000:5000
      disabled@pec.alfa.test:{SHA512-CRYPT}!\(anna.drop { $0 != "}" }.dropFirst())
      quiet@pec.alfa.test:\(anna)::::::nologin=y reason=Closed
      """)
    #expect(users.problems.isEmpty, "\(users.problems)")
    #expect(users.count == 7)
    #expect(users.verify("anna@pec.alfa.test", password: "anna-secret"))
    #expect(users.verify("ANNA@PEC.ALFA.TEST", password: "anna-secret"))
    #expect(users.verify("aldo@pec.alfa.test", password: "aldo-secret"))
    #expect(users.verify("bare@pec.alfa.test", password: "anna-secret"))
    #expect(!users.verify("anna@pec.alfa.test", password: "aldo-secret"))
    #expect(!users.verify("anna@pec.alfa.test", password: ""))
    #expect(!users.verify("", password: "anna-secret"))
    #expect(!users.verify("nobody@pec.alfa.test", password: "anna-secret"))
    for name in ["only", "locked", "disabled", "quiet"] {
      let account = try #require(users.account("\(name)@pec.alfa.test"))
      #expect(!account.mayLogIn)
      for password in ["", "!", "anna-secret"] { #expect(!users.verify(account.name, password: password)) }
    }
    let home = try #require(users.account("aldo@pec.alfa.test"))
    #expect(home.name == "Aldo@pec.alfa.test" && home.home == "/var/mail/aldo")
    #expect(home.extra == ["userdb_mail": "maildir:~/Maildir", "nologo": ""])
    #expect(users.account("bare@pec.alfa.test")?.home == nil)
    #expect(users.names.first == "Aldo@pec.alfa.test")
  }

  @Test func badLinesAreNamedAndSkipped() throws {
    let anna = try #require(Self.anna)
    let users = file(
      """
      anna@pec.alfa.test:\(anna)
      :\(anna)
      with space@pec.alfa.test:\(anna)
      plain@pec.alfa.test:{PLAIN}secret
      clear@pec.alfa.test:{CLEARTEXT}\(anna.drop { $0 != "}" }.dropFirst())
      raw@pec.alfa.test:secret
      ANNA@pec.alfa.test:\(anna)
      open@pec.alfa.test:::::::nopassword=y
      net@pec.alfa.test:\(anna)::::::allow_nets=127.0.0.0/8
      last@pec.alfa.test:\(anna)
      """)
    #expect(users.problems.map(\.line) == [2, 3, 4, 5, 6, 7, 8, 9])
    #expect(users.names == ["anna@pec.alfa.test", "last@pec.alfa.test", "net@pec.alfa.test"])
    #expect(!users.verify("net@pec.alfa.test", password: "anna-secret"))
    #expect(!users.verify("open@pec.alfa.test", password: ""))
    #expect(users.verify("last@pec.alfa.test", password: "anna-secret"))
    #expect(users.problems[0].name == nil && users.problems[2].name == "plain@pec.alfa.test")
    // No problem tells a hash or a password.
    for problem in users.problems {
      #expect(!problem.description.contains("$6$") && !problem.description.contains("secret"))
      #expect(problem.description.hasPrefix("line \(problem.line)"))
    }
  }

  @Test func octetsOfAnyKind() throws {
    let anna = try #require(Self.anna)
    #expect(PasswordFile([]).count == 0)
    #expect(file("a@b.test:\(anna)\r\nc@d.test:\(anna)\r\n").names == ["a@b.test", "c@d.test"])
    #expect(file("a@b.test:\(anna)").count == 1)
    let broken = PasswordFile(Array("a@b.test:".utf8) + [0xFF, 0xFE] + Array("\nc\u{0}d@e.test:\(anna)\n".utf8))
    #expect(broken.count == 0 && broken.problems.map(\.line) == [1, 2])
    // Whatever the octets are, every line is read or named.
    var state: UInt64 = 7
    for _ in 0..<300 {
      let octets = (0..<200).map { _ -> UInt8 in
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return [10, 58, 36, 54, 123, 125, 97, 35, 13, 61, 32, 255, 0, 33][Int(state >> 33) % 14]
      }
      let users = PasswordFile(octets)
      #expect(users.count + users.problems.count <= octets.count)
    }
  }

  /// Unknown users are reckoned through with the commonest kind of hash in the file.
  @Test func theDecoyIsOfTheCommonestKind() throws {
    let anna = try PasswordHash(field: try #require(Self.anna))
    let aldo = try PasswordHash(field: try #require(Self.aldo))
    #expect(anna.costClass == "6" && aldo.costClass == "5")
    #expect(try PasswordHash(field: "$6$rounds=10000$saltstringsaltst$" + String(repeating: "a", count: 86)).costClass == "6$rounds=10000")
    #expect(try PasswordHash.make("x", scheme: .blowfishCrypt).costClass.hasPrefix("2b$"))
    #expect(PasswordHash.decoy.costClass == "6")
  }

  /// The time of an unknown user is that of a known one: as processor time of this thread, with a wide margin.
  @Test func unknownUsersAreAsSlow() throws {
    let users = file("anna@pec.alfa.test:\(try #require(Self.anna))\nlocked@pec.alfa.test:!\n")
    func cost(_ login: String, _ password: String) -> Double {
      var least = Double.infinity
      for _ in 0..<5 {
        let begin = threadSeconds()
        _ = users.verify(login, password: password)
        least = min(least, threadSeconds() - begin)
      }
      return least
    }
    let known = cost("anna@pec.alfa.test", "wrong")
    for (login, password) in [
      ("nobody@pec.alfa.test", "wrong"), ("locked@pec.alfa.test", "wrong"), ("anna@pec.alfa.test", "a\0b"), ("nobody", ""),
    ] {
      let unknown = cost(login, password)
      #expect(unknown > known / 4 && unknown < known * 4, "\(login): \(unknown) s against \(known) s")
    }
  }

  private func threadSeconds() -> Double {
    var at = timespec()
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &at)
    return Double(at.tv_sec) + Double(at.tv_nsec) / 1e9
  }
}

@Suite struct AccountsTests {
  private func temporary(_ text: String) throws -> String {
    let path = FileManager.default.temporaryDirectory.appendingPathComponent("users-\(UUID().uuidString)").path
    try text.write(toFile: path, atomically: true, encoding: .utf8)
    return path
  }

  @Test func reload() throws {
    let hash = try PasswordHash.make("one").field
    let path = try temporary("anna@pec.alfa.test:\(hash)\n")
    defer { try? FileManager.default.removeItem(atPath: path) }
    let accounts = try Accounts(path: path)
    #expect(accounts.exists("Anna@pec.alfa.test") && !accounts.exists("aldo@pec.alfa.test"))
    #expect(accounts.verify("anna@pec.alfa.test", password: "one"))
    try "aldo@pec.alfa.test:\(hash)\nbad line\n".write(toFile: path, atomically: true, encoding: .utf8)
    #expect(try accounts.reload().map(\.line) == [2])
    #expect(accounts.problems.count == 1)
    #expect(!accounts.exists("anna@pec.alfa.test") && accounts.exists("aldo@pec.alfa.test"))
    // A reload that finds nothing leaves everything as it was.
    try "# being written\n".write(toFile: path, atomically: true, encoding: .utf8)
    #expect(throws: AccountsError.emptied(path: path)) { try accounts.reload() }
    try FileManager.default.removeItem(atPath: path)
    #expect(throws: AccountsError.unreadable(path: path, reason: "No such file or directory")) { try accounts.reload() }
    #expect(accounts.exists("aldo@pec.alfa.test") && accounts.account("aldo@pec.alfa.test")?.mayLogIn == true)
  }

  @Test func filesThatCannotBeLoaded() throws {
    #expect(throws: AccountsError.self) { try Accounts(path: "/nowhere/users") }
    #expect(throws: AccountsError.unreadable(path: "/", reason: "Is a directory")) { try Accounts(path: "/") }
    #expect(throws: AccountsError.tooLarge(path: "/dev/zero")) { try Accounts(path: "/dev/zero") }
    let path = try temporary("")
    defer { try? FileManager.default.removeItem(atPath: path) }
    #expect(try Accounts(path: path).snapshot.count == 0)
  }

  /// Many threads verify while another reloads.
  @Test func concurrently() throws {
    let lines = try (0..<4).map { "user\($0)@pec.alfa.test:\(try PasswordHash.make("secret\($0)").field)" }
    let path = try temporary(lines.joined(separator: "\n"))
    defer { try? FileManager.default.removeItem(atPath: path) }
    let accounts = try Accounts(path: path)
    let wrong = Mutex(0)
    DispatchQueue.concurrentPerform(iterations: 64) { number in
      if number % 8 == 0 { _ = try? accounts.reload() }
      let user = number % 4
      let good = accounts.verify("user\(user)@pec.alfa.test", password: "secret\(user)")
      let bad = accounts.verify("user\(user)@pec.alfa.test", password: "secret\((user + 1) % 4)")
      if !good || bad { wrong.withLock { $0 += 1 } }
    }
    #expect(wrong.withLock { $0 } == 0)
  }
}
