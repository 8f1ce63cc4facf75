"""Screens that cross rooms: home, profiles, the account."""

from django.contrib.auth.views import LogoutView
from django.urls import path

from cdp.console import account, accounts, dictionary, duplicates, followed, home, profiles, why

app_name = "console"
urlpatterns = [
    path("", home.home, name="home"),
    path("home/live/", home.live, name="home-live"),
    path("home/events/", home.events_chart, name="home-events"),
    path("login/", account.login, name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("account/", account.account, name="account"),
    path("accounts/", accounts.accounts, name="group-accounts"),
    path("accounts/<int:account_id>/", accounts.account, name="group-account"),
    path("sources/why/", why.why, name="why"),
    path("dictionary/", dictionary.dictionary, name="dictionary"),
    path("dictionary/entry/", dictionary.entry, name="dictionary-entry"),
    path("dictionary/export/", dictionary.export, name="dictionary-export"),
    path("profiles/", profiles.profiles, name="profiles"),
    path("profiles/export/", profiles.export, name="profiles-export"),
    path("profiles/duplicates/", duplicates.duplicates, name="duplicates"),
    path("profiles/search/", profiles.search, name="search"),
    path("profiles/<int:profile_id>/", profiles.profile, name="profile"),
    path("profiles/<int:profile_id>/followed/", followed.followed, name="profile-followed"),
    path("profiles/<int:profile_id>/traits/", profiles.traits, name="profile-traits"),
    path("profiles/<int:profile_id>/traits/history/", profiles.trait, name="profile-trait"),
    path("profiles/<int:profile_id>/identifiers/", profiles.identifiers, name="profile-identifiers"),
    path("profiles/<int:profile_id>/graph/", profiles.graph, name="profile-graph"),
    path("profiles/<int:profile_id>/events/", profiles.events, name="profile-events"),
]
