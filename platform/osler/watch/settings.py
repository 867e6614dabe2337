"""What a watch follows, and what it does with it: `watch.yaml` in the workspace."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from osler.sources.address import Kind, parse_address
from osler.workspace import Workspace
from osler.yaml_settings import read_settings
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

FILE = "watch.yaml"
_LARGEST = 1 << 16
Line = Annotated[str, Field(min_length=1, max_length=256)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class FollowSettings(_Part):
    """The feed.

    Attributes:
        feed: `orthanc`: its change feed; `dicomweb` and `find`: asking again and again; `listener`: being sent to.
        address: Root of Orthanc's own interface, DICOMweb root, dicom://TITLE@HOST:PORT, or listen://TITLE@HOST:PORT.
        every_s: Seconds between two questions where there is nothing to do.
        begin: `now` passes over what Orthanc holds at the first start; `beginning` takes it all.
        days: How many days back a study's date may lie for the feeds that ask.
        query: Further matching keys by keyword, for the feeds that ask.
        callers: AE titles that may send to a listener.
    """

    feed: Literal["orthanc", "dicomweb", "find", "listener"]
    address: Line
    every_s: float = Field(default=5.0, gt=0, le=3600)
    begin: Literal["now", "beginning"] = "now"
    days: int = Field(default=3, ge=0, le=36500)
    query: dict[str, str] = {}
    callers: list[str] = []


class SiteSettings(_Part):
    """One site behind the PACS.

    Attributes:
        name: The site, as `osler ingest --site` would name it.
        titles: AE titles of its senders.
        institutions: Its Institution Names (0008,0080), letters in either case.
        default: Whether it takes what no other site claims.
        model: Name of the model; that of report.yaml, or the only one, where it is left out.
    """

    name: Annotated[str, Field(min_length=1, max_length=64)]
    titles: list[str] = []
    institutions: list[str] = []
    default: bool = False
    model: str | None = None


class IntakeSettings(_Part):
    """How studies are taken in; see `osler ingest`."""

    contract: str = "chest-radiograph"
    workers: int = Field(default=2, ge=0, le=64)
    burned_in: Literal["quarantine", "box", "strict", "unjudged"] = "quarantine"
    key_file: str | None = None
    crosswalk: str
    crosswalk_key: str | None = None


class LoginSettings(_Part):
    """How to show oneself to the PACS; names of users and passwords stay in the environment or the login file."""

    login_file: str | None = None
    ca: str | None = None
    title: str = Field(default="OSLER", max_length=16)
    receive: str = "11112"
    retrieve: Literal["move", "get"] = "move"
    tls: bool = False
    certificate: str | None = None
    private_key: str | None = None
    timeout_s: float = Field(default=30.0, gt=0, le=600)


class LimitSettings(_Part):
    """When to wait, and when to give up.

    Attributes:
        settle_s: Seconds without a new instance after which a study counts as complete.
        batch: Studies that are worked on together.
        open_studies: Studies that may be under way at once; beyond, the PACS keeps what is new until there is room.
        attempts: Attempts at one step before a study is set aside.
        pause_s: Seconds before the second attempt; each further pause is twice as long, up to `longest_pause_s`.
        longest_pause_s: The longest pause.
        least_free_gib: Free space on the workspace's disk below which nothing more is fetched.
    """

    settle_s: float = Field(default=60.0, ge=0, le=86400)
    batch: int = Field(default=16, ge=1, le=256)
    open_studies: int = Field(default=1000, ge=1, le=100_000)
    attempts: int = Field(default=5, ge=1, le=100)
    pause_s: float = Field(default=5.0, gt=0, le=3600)
    longest_pause_s: float = Field(default=900.0, gt=0, le=86400)
    least_free_gib: float = Field(default=5.0, ge=0)


class WatchSettings(_Part):
    """All of `watch.yaml`.

    Attributes:
        follow: The feed.
        fetch_from: Where studies are fetched: DICOMweb root or dicom://TITLE@HOST:PORT. Left out, it is Orthanc's
            `/dicom-web`, or the address of the feed itself.
        report_to: Where reports go; as `fetch_from` where it is left out.
        sites: The sites behind the PACS.
        intake: How studies are taken in.
        login: How to show oneself.
        limits: When to wait, and when to give up.
        actor: Who sends, for the audit log.
        reason: Why, for the audit log.
    """

    follow: FollowSettings
    fetch_from: Line | None = None
    report_to: Line | None = None
    sites: Annotated[list[SiteSettings], Field(min_length=1)]
    intake: IntakeSettings
    login: LoginSettings = LoginSettings()
    limits: LimitSettings = LimitSettings()
    actor: Annotated[str, Field(min_length=1, max_length=80)] = "osler watch"
    reason: Annotated[str, Field(min_length=1, max_length=200)] = "results of a watched PACS"

    @model_validator(mode="after")
    def _sound(self) -> WatchSettings:
        names = [site.name for site in self.sites]
        titles = [title for site in self.sites for title in site.titles]
        institutions = [name.casefold() for site in self.sites for name in site.institutions]
        if len(set(names)) < len(names) or sum(site.default for site in self.sites) > 1:
            raise ValueError("each site has a name of its own, and one at most is the default")
        if len(set(titles)) < len(titles) or len(set(institutions)) < len(institutions):
            raise ValueError("an AE title or an institution belongs to one site")
        if self.follow.feed == "listener" and self.report_to is None:
            raise ValueError("a listener needs report_to: who sends is not who keeps")
        wanted = {"find": Kind.PACS, "listener": Kind.LISTENER}.get(self.follow.feed, Kind.WEB)
        try:
            kinds = [parse_address(one).kind for one in (self.fetching, self.reporting)]
            followed = parse_address(self.follow.address).kind
        except OslerError as error:
            raise ValueError(error.message) from None
        if followed is not wanted:
            raise ValueError(f"the feed {self.follow.feed} needs another kind of address")
        if kinds[1] not in (Kind.WEB, Kind.PACS) or (kinds[0] is Kind.LISTENER) != (wanted is Kind.LISTENER):
            raise ValueError("studies are fetched from, and reports sent to, https://HOST/dicom-web or dicom://...")
        return self

    @property
    def fetching(self) -> str:
        """Address where studies are fetched."""
        if self.fetch_from is not None:
            return self.fetch_from
        address = self.follow.address.rstrip("/")
        return f"{address}/dicom-web" if self.follow.feed == "orthanc" else address

    @property
    def reporting(self) -> str:
        """Address where reports go."""
        return self.report_to or self.fetching

    def site_of(self, title: str, institution: str) -> SiteSettings | None:
        """Return the site of a study: by who sent it, then by its institution, then the default one."""
        named = " ".join(institution.split()).casefold()
        by_title = [site for site in self.sites if title.strip() and title.strip() in site.titles]
        by_name = [
            site
            for site in self.sites
            if named and named in {" ".join(one.split()).casefold() for one in site.institutions}
        ]
        return next(iter([*by_title, *by_name, *(site for site in self.sites if site.default)]), None)


def load_watch(workspace: Workspace, path: Path | None = None) -> WatchSettings:
    """Read `watch.yaml` of a workspace, or another file.

    Raises:
        OslerError: `usage` where there is none, or where it says what nobody understands.
    """
    path = path or workspace.root / FILE
    if not path.is_file():
        raise _invalid(f"there is no file {path}")
    return read_settings(path, WatchSettings, _invalid, largest=_LARGEST)


def _invalid(what: str) -> OslerError:
    return OslerError(
        Code.USAGE, f"The settings of the watch cannot be used: {what}.", "See docs/deployment.md for an example."
    )
