"""Screens of this room: destinations, what they subscribe to, and deliveries."""

from django.urls import path

from activation import screens

app_name = "destinations"
urlpatterns = [
    path("destinations/", screens.destinations, name="list"),
    path("destinations/new/", screens.new, name="new"),
    path("destinations/<slug:slug>/", screens.destination, name="detail"),
    path("destinations/<slug:slug>/edit/", screens.edit, name="edit"),
    path("destinations/<slug:slug>/test/", screens.test, name="test"),
    path("destinations/<slug:slug>/pause/", screens.pause, name="pause"),
    path("destinations/<slug:slug>/resume/", screens.resume, name="resume"),
    path("destinations/<slug:slug>/rotate/", screens.rotate, name="rotate"),
    path("destinations/<slug:slug>/replay/", screens.replay_dead, name="replay-dead"),
    path("destinations/<slug:slug>/delete/", screens.delete, name="delete"),
    path("destinations/<slug:slug>/subscribe/", screens.subscribe, name="subscribe"),
    path("destinations/<slug:slug>/subscriptions/<int:pk>/", screens.change_subscription, name="subscription"),
    path("destinations/<slug:slug>/subscriptions/<int:pk>/remove/", screens.unsubscribe, name="unsubscribe"),
    path("deliveries/", screens.deliveries, name="deliveries"),
    path("deliveries/<int:pk>/", screens.delivery, name="delivery"),
    path("deliveries/<int:pk>/replay/", screens.replay, name="replay"),
]
