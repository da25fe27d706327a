import ArgumentParser
import CommandSupport
import Millrace

/// Creates an empty store.
struct InitCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "init",
    abstract: "Create an empty store.",
    discussion: """
      The folder must be empty or absent. What is chosen here stays with the store.

      Example:
        millrace init fleet --partitions 8 --codec zstd --retention-age 30d
      """)

  @Argument(help: ArgumentHelp("The store's folder.", valueName: "store"))
  var store: String

  @OptionGroup var options: StoreOptions

  func run() async throws {
    try await EventStore.create(at: store, configuration: options.configuration)
  }
}
