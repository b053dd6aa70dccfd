import Confinement
import Foundation
import Testing

/// What the room says of itself, in the tests' own process.
@Suite struct ConfinementTests {
  @Test func kernelHasBoth() {
    let support = Confinement.support()
    #expect(support.isEnough)
    #expect(support.text == "Landlock \(support.landlockABI), seccomp")
  }

  @Test func supportInWords() {
    #expect(ConfinementSupport(landlockABI: 2, hasSeccomp: true).isEnough)
    #expect(!ConfinementSupport(landlockABI: 0, hasSeccomp: true).isEnough)
    #expect(!ConfinementSupport(landlockABI: 7, hasSeccomp: false).isEnough)
    let none = ConfinementSupport(landlockABI: 0, hasSeccomp: false)
    #expect(none.text == "no Landlock (see the kernel's lsm= parameter), no seccomp filters")
  }

  @Test func threadsAreRefused() {
    // This process has many; nothing of it is confined by the attempt.
    #expect(throws: ConfinementError.failed(step: "there is more than one thread, and only this one would be confined", code: 0)) {
      try Confinement.confineParent(ConfinementPlan(temporary: "/tmp"))
    }
    #expect(FileManager.default.isReadableFile(atPath: "/etc/passwd"))
  }

  @Test func workersAreForked() {
    #expect(throws: ConfinementError.failed(step: "a worker is forked by Confinement.fork", code: 0)) {
      try Confinement.confineWorker(ConfinementPlan(temporary: "/tmp"))
    }
  }

  @Test(
    arguments: [
      (ConfinementPlan(temporary: ""), "a path or name is empty, too long, or holds a NUL"),
      (ConfinementPlan(temporary: "/a\0b"), "a path or name is empty, too long, or holds a NUL"),
      (ConfinementPlan(temporary: "/a", user: ""), "a path or name is empty, too long, or holds a NUL"),
      (ConfinementPlan(temporary: "/" + String(repeating: "a", count: 4096)), "a path or name is empty, too long, or holds a NUL"),
      (ConfinementPlan(temporary: "a"), "a path does not begin at the root"),
      (ConfinementPlan(database: "db", temporary: "/a"), "a path does not begin at the root"),
      (ConfinementPlan(temporary: "/a", readable: ["b"]), "a path does not begin at the root"),
      (ConfinementPlan(temporary: "/a", readable: Array(repeating: "/b", count: 65)), "more than 64 readable paths or descriptors"),
      (ConfinementPlan(temporary: "/a", descriptors: Array(repeating: 3, count: 65)), "more than 64 readable paths or descriptors"),
      (ConfinementPlan(temporary: "/a", descriptors: [3, -1]), "a descriptor is negative"),
      (ConfinementPlan(temporary: "/a", memoryBytes: 0), "a limit is out of range"),
      (ConfinementPlan(temporary: "/a", fileBytes: Int.max), "a limit is out of range"),
    ])
  func badPlans(plan: ConfinementPlan, said: String) {
    #expect(throws: ConfinementError.badPlan(said)) { try Confinement.confineParent(plan) }
    #expect(throws: ConfinementError.badPlan(said)) { try Confinement.confineWorker(plan) }
  }

  @Test func errorsInWords() {
    #expect(ConfinementError.badPlan("no").description == "not confined: no")
    #expect(ConfinementError.failed(step: "a step", code: 0).description == "not confined: a step")
    #expect(ConfinementError.failed(step: "opening /x", code: 2).description == "not confined: opening /x: No such file or directory")
  }
}
